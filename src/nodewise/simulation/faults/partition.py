# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `partition`: hosts do not hear each other. The receiver drops, in a table of the fault's own; SSH is left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Literal

import msgspec

from nodewise.errors import UsageError
from nodewise.simulation.faults import targets
from nodewise.simulation.faults.fault import Applied, Fault, Means
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.targets import Target

SMALLEST_RING = 5  # members: in a smaller one no two majorities are different and overlap in more than one
WAIT = 0.4  # seconds for an answer from a neighbour
DISCARD = 9  # a port that nobody listens on: a host that hears refuses at once
# Prints the addresses that answer, by a connection or by refusing it.
HEARD = """import socket, sys
from concurrent.futures import ThreadPoolExecutor
def heard(to):
    s = socket.socket(); s.settimeout(float(sys.argv[1]))
    try: s.connect((to, int(sys.argv[2])))
    except ConnectionRefusedError: pass
    except OSError: return
    return to
print(*filter(None, ThreadPoolExecutor(32).map(heard, sys.argv[3:])))"""

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Deaf = dict[str, set[str]]  # receiver -> whom it does not hear


class Partition(Fault, tag="partition"):
    """`isolate` cuts each of `from` off from all; `both_ways` cuts `from` off from `to`; in `one_way` `to` does not hear `from`.

    `bridge`: two halves that one host of `from` sees both of. `ring`: each host hears a majority, and no two hear the same.
    """

    mode: Literal["isolate", "both_ways", "one_way", "bridge", "ring"] = "isolate"  # who does not hear whom
    side: Target = msgspec.field(name="from", default="one")  # one side of it
    to: Target | None = None  # all others, unless it is said
    ports: list[Port] = msgspec.field(default_factory=list)  # TCP ports that it is about; all traffic, unless it is said

    def check(self, nodes: list[str]) -> None:
        """Targets are there; a ring is large enough."""
        for target in (self.side, *([self.to] if self.to is not None else [])):
            targets.check(target, nodes)
        if self.mode == "ring" and len(nodes) < SMALLEST_RING:
            raise UsageError(f"{self.id}: a majority ring of {len(nodes)} nodes; expected {SMALLEST_RING} or more")

    def takes(self, nodes: int) -> int:
        """The smaller side; nobody where each host still hears a majority."""
        size = targets.most(self.side, nodes)
        if self.mode == "isolate":
            return size
        return (
            0 if self.mode in ("bridge", "ring") else min(size, nodes - size if self.to is None else targets.most(self.to, nodes))
        )

    def on(self, scene: Scene) -> dict[str, Means]:
        """A table on each host that is deaf to others."""
        return {name: self._means(scene, peers) for name, peers in self.deaf(scene).items() if peers}

    def deaf(self, scene: Scene) -> Deaf:
        """Who does not hear whom."""
        every, side = list(scene.order), targets.resolve(self.side, scene)
        rest = [name for name in every if name not in side]
        others = (
            rest if self.to is None else [name for name in targets.resolve(self.to, replace(scene, order=rest)) if name in rest]
        )
        if self.mode == "isolate":
            return {name: {peer for peer in every if peer != name and {peer, name} & set(side)} for name in every}
        if self.mode == "one_way":
            return {name: {*side} for name in others}
        if self.mode == "both_ways":
            return _apart(side, others)
        if self.mode == "bridge":
            return _apart(others[: len(others) // 2], others[len(others) // 2 :])
        count = len(every)
        reach = range(-(count // 2 // 2), count // 2 + 1 - count // 2 // 2)  # a majority around each, itself among them
        return {name: set(every) - {every[(at + step) % count] for step in reach} for at, name in enumerate(every)}

    def proved(self, applied: Applied) -> str:
        """Each host knocks at those that shall not hear it: nobody answers, and each of them has dropped what came."""
        pairs = self._pairs(applied)
        if not pairs:
            raise NotProved(f"{self.id}: its targets leave nobody to be cut off from")
        answered = self._answers(applied, pairs)
        if answered:
            raise NotProved(f"{self.id}: {answered[0]} still answers; expected it to hear nothing")
        dropped = applied.ask(f"nft -j list table inet {self._table}")
        for receiver, sender in pairs:
            address = applied.scene.hosts[sender].address
            if not _dropped(dropped[receiver], address):
                raise NotProved(f"{self.id}: {receiver} has dropped nothing of {sender}")
        cut = "; ".join(f"{name} is deaf to {', '.join(means.peers)}" for name, means in applied.where.items())
        return f"{cut}; nobody answers, and each has dropped packets"

    def healed(self, applied: Applied) -> str:
        """The tables are gone. Whoever is still not heard is named: another fault may have it."""
        left = applied.ask(f"nft list table inet {self._table} 2>/dev/null || :")
        if there := [name for name, said in left.items() if said]:
            raise NotProved(f"{self.id}: the table {self._table} is still on {', '.join(there)}")
        pairs = self._pairs(applied)
        silent = len(pairs) - len(self._answers(applied, pairs))
        return (
            "the rules are gone, and all answer"
            if not silent
            else f"the rules are gone; {silent} of {len(pairs)} ways still silent"
        )

    @staticmethod
    def _pairs(applied: Applied) -> list[tuple[str, str]]:
        """Receiver and sender of each way that is cut, as they were resolved."""
        return [(receiver, sender) for receiver, means in applied.where.items() for sender in means.peers]

    def _answers(self, applied: Applied, pairs: list[tuple[str, str]]) -> list[str]:
        """The receivers that answered a sender."""
        asked: dict[str, list[str]] = {}
        for receiver, sender in pairs:
            asked.setdefault(sender, []).append(applied.scene.hosts[receiver].address)
        port = self.ports[0] if self.ports else DISCARD
        said = applied.ask(
            {who: f"python3 - {WAIT} {port} {' '.join(whom)} <<'NODEWISE'\n{HEARD}\nNODEWISE" for who, whom in asked.items()}
        )
        return [applied.scene.host(address) for answer in said.values() for address in answer.split()]

    def _means(self, scene: Scene, peers: set[str]) -> Means:
        """What comes is counted in a chain before any that drops, so that two partitions of the same hosts are both proved."""
        addresses = sorted(scene.hosts[peer].address for peer in peers)
        ports = f"{{ {', '.join(map(str, self.ports))} }} "
        ways = [f"tcp {end} {ports}" for end in ("dport", "sport")] if self.ports else [""]
        lines = [f"table inet {self._table} {{"]
        for chain, priority, verdict in (("seen", -310, "counter"), ("cut", -300, "drop")):
            lines += [f" chain {chain} {{", f"  type filter hook input priority {priority}; policy accept;"]
            lines += [f"  tcp {end} 22 accept" for end in ("dport", "sport")]
            lines += [f"  ip saddr {address} {way}{verdict}" for address in addresses for way in ways] + [" }"]
        inject = "nft -f - <<'RULES'\n{}\n}}\nRULES".format("\n".join(lines))
        undo = f"nft delete table inet {self._table} 2>/dev/null || ! nft list table inet {self._table} >/dev/null 2>&1"
        return Means("nftables", inject, undo, tuple(sorted(peers)))

    @property
    def _table(self) -> str:
        return f"nodewise_{self.id.replace('-', '_')}"


def _apart(left: list[str], right: list[str]) -> Deaf:
    """Two sides that do not hear each other."""
    return {name: set(other) for side, other in ((left, right), (right, left)) for name in side}


def _dropped(listed: str, address: str) -> bool:
    """Whether a rule about this address has counted a packet."""
    rules = [entry["rule"]["expr"] for entry in json.loads(listed)["nftables"] if "rule" in entry]
    about = [rule for rule in rules if any(part.get("match", {}).get("right") == address for part in rule)]
    return any(part["counter"]["packets"] for rule in about for part in rule if "counter" in part)
