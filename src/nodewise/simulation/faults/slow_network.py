# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `slow_network`: what comes to a host from the others of its cluster comes late, slowly, or not at all.

By the kernel's netem where the host has it, else by a netfilter queue and a program on the host. Either is on the side that
receives: there a delay costs no throughput, and what is lost is not sent again before it is lost.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from importlib import resources

from nodewise.errors import UsageError
from nodewise.simulation.faults import targets
from nodewise.simulation.faults.fault import Applied, Fault, Means, Span, seconds
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.targets import Target

RATE = re.compile(r"(\d+(?:\.\d+)?)(k|M)B/s")
UNITS = {"k": 1e3, "M": 1e6}
FASTEST = 20e6  # bytes a second: what is faster cannot be told from no limit
TRIES = 20  # packets that a delay is proved by
LOST = 6  # packets of which as many are expected to be lost, that a loss is proved by
MOST_TRIES = 600
FULL, FRAME = 1400, 1428  # bytes of a ping that a rate is proved by, and of its packet
FLOW = 0.5  # seconds that such pings take to come, sent all at once: no packet waits longer than a second
NEAR = 0.3  # part of the delay, and of the rate, by which what is measured may be off on a busy machine, to the wrong side
ANSWERED = re.compile(r"(\d+) packets transmitted, (\d+) received")
ROUND_TRIP = re.compile(r"rtt min/avg/max/mdev = [\d.]+/([\d.]+)/([\d.]+)/")
# What comes from the others goes through a device of the fault's own, which has netem. Who adds the ingress hook removes it.
NETEM = """echo netem; ip link set {device} up
from=$(ip -o route get {first} | sed 's/.* dev \\([^ ]*\\).*/\\1/'); echo $from >from
[ -n "$(tc qdisc show dev $from ingress)" ] || { tc qdisc add dev $from ingress; touch ../.ingress; }
for peer in {peers}; do
  tc filter add dev $from parent ffff: protocol ip pref {number} u32 match ip src $peer action mirred egress redirect dev {device}
done"""
# iptables makes its table, and leaves it: it goes with the last of us, where nobody else had it.
QUEUE = """echo a netfilter queue; ! ip link del {device} 2>/dev/null || :
nft list table ip mangle >/dev/null 2>&1 || touch ../.mangle
cat >late.py <<'PYTHON'
{program}
PYTHON
python3 late.py {number} {figures} {number} >ready 2>&1 &
iptables -w -t mangle -N {chain}
for peer in {peers}; do iptables -w -t mangle -A {chain} -s $peer -j NFQUEUE --queue-num {number} --queue-bypass; done
until [ "$(cat ready)" = ready ]; do kill -0 $! || { cat ready >&2; exit 1; }; sleep 0.02; done
iptables -w -t mangle -I PREROUTING -j {chain}"""
UNDO = """from=$(cat from 2>/dev/null)
if [ "$from" ]; then
  tc filter del dev $from parent ffff: pref {number} 2>/dev/null
  if [ -e ../.ingress ] && [ -z "$(tc filter show dev $from parent ffff:)" ]; then
    tc qdisc del dev $from ingress; rm ../.ingress
  fi
fi
ip link del {device} 2>/dev/null
iptables -w -t mangle -D PREROUTING -j {chain} 2>/dev/null
iptables -w -t mangle -F {chain} 2>/dev/null; iptables -w -t mangle -X {chain} 2>/dev/null
if [ -e ../.mangle ] && ! iptables-save -t mangle | grep -v '^:[A-Z]* ACCEPT ' | grep -q '^[:-]'; then
  nft delete table ip mangle; rm ../.mangle
fi
! iptables -w -t mangle -S {chain} >/dev/null 2>&1 && ! ip link show {device} >/dev/null 2>&1"""
# The numbers of all that are there.
SLOWED = "{ iptables -w -t mangle -S; ip -o link; } 2>/dev/null | grep -oiE 'nodewise-?[0-9]+' | grep -oE '[0-9]+' | sort -u || :"
ABLE = """iptables -j NFQUEUE --help 2>/dev/null | grep -q queue-bypass || {
  ip link add nodewise-try type ifb && tc qdisc add dev nodewise-try root netem delay 1ms ||
    echo 'it has neither netem nor iptables with NFQUEUE'
  ip link del nodewise-try
} 2>/dev/null"""


class SlowNetwork(Fault, tag="slow_network"):
    """Packets from all others to hosts of the target: late by `delay`, give or take `jitter`; a part (`loss`, 0 to 1) is lost.

    All of them together come at `rate` (`500kB/s`, `1MB/s`) at most.
    """

    target: Target = "one"  # whom everything reaches late
    delay: Span = 0.0  # by which it comes late
    jitter: Span = 0.0  # give or take so much
    loss: float = 0.0  # the part that does not come at all, from 0 to 1
    rate: str = ""  # at which all of it together comes at most, such as 500kB/s

    def check(self, nodes: list[str]) -> None:
        """Something is asked for, and it can be had."""
        targets.check(self.target, nodes)
        if self.rate and not 0 < self.bytes <= FASTEST:
            raise UsageError(f"{self.id}: rate {self.rate!r}: expected such as 500kB/s or 1.5MB/s, at most {FASTEST / 1e6:.0f}MB/s")
        delay, jitter = seconds(self.delay)[1], seconds(self.jitter)[1]
        if not (delay or self.loss or self.rate) or not 0 <= self.loss < 1 or jitter > delay:
            asked = f"delay {self.delay}, jitter {self.jitter}, loss {self.loss}"
            wanted = "a delay, with no more jitter than that, a loss from 0 to 1, or a rate"
            raise UsageError(f"{self.id}: {asked}: expected {wanted}")

    @property
    def bytes(self) -> float:
        """The rate in bytes a second; 0 where there is none."""
        found = RATE.fullmatch(self.rate)
        return float(found[1]) * UNITS[found[2]] if found else 0.0

    def takes(self, nodes: int) -> int:
        """Nobody is away; a loss of nearly all is not told apart."""
        return targets.most(self.target, nodes) if self.loss > 1 / 2 else 0

    def able(self, scene: Scene) -> str:  # noqa: ARG002 (the protocol's name)
        """Whether it has iptables with the target NFQUEUE, in whichever of its two kinds, or netem."""
        return ABLE

    def on(self, scene: Scene) -> dict[str, Means]:
        """On each host of the target, for what the others send."""
        return {name: self._means(scene, name) for name in targets.resolve(self.target, scene)}

    def proved(self, applied: Applied) -> str:
        """Pings from the host: answers come back late, slowly, and some do not."""
        said, missing = [], []
        for name, (took, lost) in self._pinged(applied).items():
            said.append(f"{name}: {took * 1000:.1f} ms, {lost:.0%} lost")
            if took < seconds(self.delay)[0] * (1 - NEAR) or (self.loss and not self.loss / 4 <= lost <= self.loss * 4):
                missing.append(said[-1])
        for name, rate in self._flowed(applied).items():
            said.append(f"{name}: {rate / 1000:.0f} kB/s")
            if rate > self.bytes * (1 + NEAR):
                missing.append(said[-1])
        if missing:
            asked = f"delay {self.delay}, loss {self.loss:.0%}, rate {self.rate or 'any'}"
            raise NotProved(f"{self.id}: {'; '.join(missing)}; expected {asked}")
        return "; ".join([*said, *(f"{name}: by {means}" for name, means in applied.said.items())])

    def healed(self, applied: Applied) -> str:
        """What did it is gone, and pings come back as fast as before, all of them; not so where another fault of its kind is."""
        left = {name: said.split() for name, said in applied.ask(SLOWED).items()}
        if there := [name for name, by in left.items() if self._number in by]:
            raise NotProved(f"{self.id}: the rules are still on {', '.join(there)}")
        alone = replace(applied, where={name: means for name, means in applied.where.items() if not left[name]})
        beside = [f"{name}: the rules are gone; another fault slows it" for name, by in left.items() if by]
        return "; ".join([*beside, *self._fast(alone)])

    def _fast(self, applied: Applied) -> list[str]:
        pinged = self._pinged(applied)
        slow = seconds(self.delay)[0] / 2
        if still := [name for name, (took, lost) in pinged.items() if lost or (slow and took > slow)]:
            raise NotProved(f"{self.id}: {', '.join(still)} is still slow")
        if still := [name for name, rate in self._flowed(applied).items() if rate <= self.bytes * (1 + NEAR)]:
            raise NotProved(f"{self.id}: {', '.join(still)} still gets no more than {self.rate}")
        return [f"{name}: {took * 1000:.1f} ms, nothing lost" for name, (took, _lost) in pinged.items()]

    def _pinged(self, applied: Applied) -> dict[str, tuple[float, float]]:
        """Of each host, to one of the others: the mean seconds of a round trip as programs see it, and the part that was lost."""
        count = min(MOST_TRIES, round(LOST / self.loss)) if self.loss else TRIES
        return {name: _read(text)[:2] for name, text in self._ping(applied, f"-c {count} -i 0.002").items()}

    def _flowed(self, applied: Applied) -> dict[str, float]:
        """Bytes a second at which answers come to each host that were asked for all at once; of none where no rate is asked for."""
        if not self.bytes:
            return {}
        count = max(10, min(2000, round(self.bytes * FLOW / FRAME)))
        late = seconds(self.delay)[1]  # of each
        read = {name: _read(text) for name, text in self._ping(applied, f"-f -l {count} -c {count} -s {FULL}").items()}
        return {name: count * (1 - lost) * FRAME / max(longest - late, 0.001) for name, (_, lost, longest) in read.items()}

    @staticmethod
    def _ping(applied: Applied, how: str) -> dict[str, str]:
        peers = {name: applied.scene.hosts[means.peers[0]].address for name, means in applied.where.items()}
        return applied.ask({name: f"ping -U -q {how} -W 1 {peer} || :" for name, peer in peers.items()})

    def netem(self) -> str:
        """What tc is told to do with packets."""
        delay, jitter = (round(seconds(span)[0] * 1e6) for span in (self.delay, self.jitter))
        words = [f"netem limit 20000 delay {delay}us {jitter}us", *([f"loss {self.loss:.4%}"] if self.loss else [])]
        return " ".join([*words, *([f"rate {round(self.bytes * 8)}bit"] if self.rate else [])])

    @property
    def _number(self) -> str:
        """Of its queue, its chain, its device and its filters."""
        return str(1024 + zlib.crc32(self.id.encode()) % 60000)

    def _means(self, scene: Scene, name: str) -> Means:
        peers = tuple(sorted(set(scene.hosts) - {name}))
        addresses = [scene.hosts[peer].address for peer in peers]
        number = self._number
        known = {
            "device": f"nodewise{number}",
            "chain": f"NODEWISE-{number}",
            "number": number,
            "first": addresses[0],
            "peers": " ".join(addresses),
            "figures": f"{seconds(self.delay)[0]} {seconds(self.jitter)[0]} {self.loss} {self.bytes}",
        }
        has = f"ip link add {{device}} type ifb 2>/dev/null && tc qdisc add dev {{device}} root {self.netem()} 2>/dev/null"
        inject, undo = f"if {has}; then\n{NETEM}\nelse\n{QUEUE}\nfi", UNDO
        for word, value in known.items():
            inject, undo = inject.replace(f"{{{word}}}", value), undo.replace(f"{{{word}}}", value)
        program = resources.files("nodewise.simulation.faults").joinpath("late.py").read_text()
        return Means("netem, or a netfilter queue", inject.replace("{program}", program), undo, peers)


def _read(said: str) -> tuple[float, float, float]:
    """What ping says: the mean round trip in seconds, the part that was lost, the longest. Nothing that came back is all lost."""
    sent, came = ANSWERED.search(said), ROUND_TRIP.search(said)
    if not sent or not int(sent[1]):
        raise NotProved(f"ping said nothing to go by: {said[-200:]}")
    mean, longest = (float(came[1]) / 1000, float(came[2]) / 1000) if came else (0.0, 0.0)
    return mean, 1 - int(sent[2]) / int(sent[1]), longest
