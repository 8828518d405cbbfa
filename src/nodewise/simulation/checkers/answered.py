# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `answered`: no member is there and of no use, which clients that go on to the next one hardly notice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import Attempt, attempts
from nodewise.text import cut

NAME = "answered"
LONG_NS = 10e9  # a member that is restarted is back sooner
ENOUGH = 5  # attempts in that time


def answered(history: Sequence[Operation]) -> Verdict:
    """No member fails every operation of a kind for ten seconds in which other members do what they are asked."""
    asked = defaultdict[tuple[str | None, str], list[Attempt]](list)
    for one in attempts(history):
        asked[one.asked.node, one.asked.f].append(one)
    nodes = {node for node, _f in asked if node}
    if len(nodes) < 2:  # noqa: PLR2004  (one can be held against no other)
        return Verdict(
            NAME, "unknown", f"members that were asked: {len(nodes)}; expected two or more, to hold one against the others"
        )
    found = [(node, f, bad) for (node, f), tries in asked.items() for bad in _stretches(tries) if _elsewhere(asked, f, bad)]
    if not found:
        return Verdict(NAME, "valid", f"members that did nothing for clients, while others did: 0 (of {len(nodes)})")
    told = [
        f"{f} through {node} failed {len(bad)} times in {(bad[-1].asked.time - bad[0].asked.time) / 1e9:.0f} s"
        for node, f, bad in found
    ]
    last = found[0][2][-1].done
    error = " ".join(((last and last.error) or "").split())
    why = f" ({cut(error, 120)})" if error else ""
    return Verdict(
        NAME, "invalid", f"{'; '.join(told)}, while others were answered{why}", [bad[-1].asked for _node, _f, bad in found]
    )


def _stretches(tries: list[Attempt]) -> list[list[Attempt]]:
    """Runs of attempts that all failed, and that took long."""
    runs: list[list[Attempt]] = [[]]
    for one in tries:
        if one.ok or (one.done and one.done.refused):
            runs.append([])
        else:
            runs[-1].append(one)
    return [run for run in runs if len(run) >= ENOUGH and run[-1].asked.time - run[0].asked.time >= LONG_NS]


def _elsewhere(asked: dict[tuple[str | None, str], list[Attempt]], f: str, bad: list[Attempt]) -> bool:
    """Whether another member did the same meanwhile: the one that failed did not."""
    begin, end = bad[0].asked.time, bad[-1].asked.time
    others = (one for (_node, kind), tries in asked.items() if kind == f for one in tries)
    return any(one.ok and begin <= one.asked.time <= end for one in others)
