# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `durable`: what was acknowledged is still there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import Attempt, overwritten, reads, writes

NAME = "durable"


def durable(history: Sequence[Operation]) -> Verdict:
    """Every key's final value, through every node, is from a write that no acknowledged one came after.

    A key whose acknowledged write is gone counts once. Unknown when nothing was acknowledged, when there are no final reads, or
    when a node did not answer for a key.
    """
    wrote = {key: found for key, found in writes(history).items() if any(a.ok for a in found)}
    finals = reads(history, final=True)
    lost = _lost(wrote, finals)
    if lost:
        first = next(iter(lost.values()))
        evidence = [o for found in lost.values() for a in found for o in (a.asked, a.done) if o]
        return Verdict(NAME, "invalid", f"acknowledged writes lost: {len(lost)} ({_tell(*first)})", evidence, len(lost))
    if doubt := _doubt(wrote, finals):
        return Verdict(NAME, "unknown", doubt)
    acknowledged = sum(a.ok for found in wrote.values() for a in found)
    nodes = {a.asked.node for a in finals}
    says = f"acknowledged writes lost: 0 (of {acknowledged} on {len(wrote)} keys, read through {len(nodes)} nodes)"
    return Verdict(NAME, "valid", says)


def _lost(wrote: dict[object, list[Attempt]], finals: Sequence[Attempt]) -> dict[object, tuple[Attempt, Attempt]]:
    """For each key that lost something: the newest acknowledged write that is gone, and the read that shows it."""
    lost: dict[object, tuple[Attempt, Attempt]] = {}
    for read in finals:
        gone = overwritten(read.value, wrote.get(read.asked.key, []), read.asked.time) if read.ok else None
        if gone and read.asked.key not in lost:
            lost[read.asked.key] = (gone, read)
    return lost


def _doubt(wrote: dict[object, list[Attempt]], finals: Sequence[Attempt]) -> str | None:
    """Why it cannot be said that nothing is lost, or None."""
    if not wrote:
        return "no write was acknowledged: nothing to judge"
    if not finals:
        return "no final reads: what is still there was not looked at"
    seen = defaultdict(set)
    for read in finals:
        if read.ok:
            seen[read.asked.key].add(read.asked.node)
    nodes = {read.asked.node for read in finals}
    for key in wrote:
        if missing := nodes - seen[key]:
            return f"{key} was not read through {', '.join(sorted(map(str, missing)))} after the workload"
    return None


def _tell(gone: Attempt, read: Attempt) -> str:
    done = gone.done or gone.asked
    return (
        f"{done.key} = {gone.value!r}, acknowledged by {done.node} at {done.time / 1e9:.3f} s to process {done.process}; "
        f"{read.asked.node} has {read.value!r}"
    )
