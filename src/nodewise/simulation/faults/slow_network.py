# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `slow_network`: what comes to a host from the others of its cluster comes late, or not at all.

By a netfilter queue and a program on the host, on the side that receives: there a delay costs no throughput, and it needs no netem.
"""

from __future__ import annotations

import re
import zlib
from importlib import resources

from nodewise.errors import UsageError
from nodewise.simulation.faults import targets
from nodewise.simulation.faults.fault import Applied, Fault, Means, Span, seconds
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.targets import Target

TRIES = 20  # packets that a delay is proved by
LOST = 6  # packets of which as many are expected to be lost, that a loss is proved by
MOST_TRIES = 600
NEAR = 0.3  # part of the delay by which what is measured may be off; more on a busy machine, so that only less is no proof
ANSWERED = re.compile(r"(\d+) packets transmitted, (\d+) received")
ROUND_TRIP = re.compile(r"rtt min/avg/max/mdev = [\d.]+/([\d.]+)/")
# iptables makes its table, and leaves it: it goes with the last of us, where nobody else had it.
OURS = "nft list table ip mangle >/dev/null 2>&1 || touch ../.mangle"
FOREIGN = "iptables-save -t mangle | grep -v '^:[A-Z]* ACCEPT ' | grep -q '^[:-]'"
CLEAN = f"if [ -e ../.mangle ] && ! {FOREIGN}; then nft delete table ip mangle; rm ../.mangle; fi"


class SlowNetwork(Fault, tag="slow_network"):
    """Packets from all others to hosts of the target: late by `delay`, give or take `jitter`; a part (`loss`, 0 to 1) is lost."""

    target: Target = "one"
    delay: Span = 0.0
    jitter: Span = 0.0
    loss: float = 0.0

    def check(self, nodes: list[str]) -> None:
        """Something is asked for, and it can be had."""
        targets.check(self.target, nodes)
        delay, jitter = seconds(self.delay)[1], seconds(self.jitter)[1]
        if not (delay or self.loss) or not 0 <= self.loss < 1 or jitter > delay:
            asked = f"delay {self.delay}, jitter {self.jitter}, loss {self.loss}"
            raise UsageError(f"{self.id}: {asked}: expected a delay, with no more jitter than that, or a loss from 0 to 1")

    def takes(self, nodes: int) -> int:
        """Nobody is away; a loss of nearly all is not told apart."""
        return targets.most(self.target, nodes) if self.loss > 1 / 2 else 0

    def able(self) -> str:
        """Whether it has iptables with the target NFQUEUE, in whichever of its two kinds."""
        return "iptables -j NFQUEUE --help 2>/dev/null | grep -q queue-bypass || echo 'it has no iptables with NFQUEUE'"

    def on(self, scene: Scene) -> dict[str, Means]:
        """A queue on each host of the target, for what the others send."""
        return {name: self._means(scene, name) for name in targets.resolve(self.target, scene)}

    def proved(self, applied: Applied) -> str:
        """Pings from the host: answers come back late, and some do not."""
        said, wanted, missing = [], seconds(self.delay)[0], []
        for name, (took, lost) in self._pinged(applied).items():
            said.append(f"{name}: {took * 1000:.1f} ms, {lost:.0%} lost")
            if took < wanted * (1 - NEAR) or (self.loss and not self.loss / 4 <= lost <= self.loss * 4):
                missing.append(said[-1])
        if missing:
            raise NotProved(f"{self.id}: {'; '.join(missing)}; expected {self.delay} and a loss of {self.loss:.0%}")
        return "; ".join(said)

    def healed(self, applied: Applied) -> str:
        """Pings come back as fast as before, and all of them."""
        pinged = self._pinged(applied)
        slow = seconds(self.delay)[0] / 2
        if still := [name for name, (took, lost) in pinged.items() if lost or (slow and took > slow)]:
            raise NotProved(f"{self.id}: {', '.join(still)} is still slow")
        return "; ".join(f"{name}: {took * 1000:.1f} ms, nothing lost" for name, (took, _lost) in pinged.items())

    def _pinged(self, applied: Applied) -> dict[str, tuple[float, float]]:
        """Of each host, to one of the others: the mean seconds of a round trip as programs see it, and the part that was lost."""
        count = min(MOST_TRIES, round(LOST / self.loss)) if self.loss else TRIES
        peers = {name: applied.scene.hosts[means.peers[0]].address for name, means in applied.where.items()}
        said = applied.ask({name: f"ping -U -q -c {count} -i 0.002 -W 1 {peer} || :" for name, peer in peers.items()})
        return {name: _read(text) for name, text in said.items()}

    def _means(self, scene: Scene, name: str) -> Means:
        peers = tuple(sorted(set(scene.hosts) - {name}))
        queue = 1024 + zlib.crc32(self.id.encode()) % 60000
        chain = f"NODEWISE-{queue}"
        program = resources.files("nodewise.simulation.faults").joinpath("late.py").read_text()
        numbers = f"{queue} {seconds(self.delay)[0]} {seconds(self.jitter)[0]} {self.loss} {queue}"
        rules = [f"-s {scene.hosts[peer].address} -j NFQUEUE --queue-num {queue} --queue-bypass" for peer in peers]
        inject = [
            OURS,
            f"cat >late.py <<'PYTHON'\n{program}\nPYTHON",
            f"python3 late.py {numbers} >ready 2>&1 &",
            f"iptables -w -t mangle -N {chain}",
            *(f"iptables -w -t mangle -A {chain} {rule}" for rule in rules),
            'until [ "$(cat ready)" = ready ]; do kill -0 $! || { cat ready >&2; exit 1; }; sleep 0.02; done',
            f"iptables -w -t mangle -I PREROUTING -j {chain}",
        ]
        there = f"iptables -w -t mangle -S {chain} >/dev/null 2>&1"
        undo = f"""iptables -w -t mangle -D PREROUTING -j {chain} 2>/dev/null
iptables -w -t mangle -F {chain} 2>/dev/null; iptables -w -t mangle -X {chain} 2>/dev/null; ! {there} && {CLEAN}"""
        return Means("netfilter queue", "\n".join(inject), undo, peers)


def _read(said: str) -> tuple[float, float]:
    """What ping says, as seconds and a part; nothing that came back is no round trip, and all lost."""
    sent, came = ANSWERED.search(said), ROUND_TRIP.search(said)
    if not sent or not int(sent[1]):
        raise NotProved(f"ping said nothing to go by: {said[-200:]}")
    return float(came[1]) / 1000 if came else 0.0, 1 - int(sent[2]) / int(sent[1])
