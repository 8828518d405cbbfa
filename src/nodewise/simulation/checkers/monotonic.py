# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `monotonic`: no client sees a key go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import Attempt, attempts, writers

NAME = "monotonic"


def monotonic(history: Sequence[Operation]) -> Verdict:
    """After a client has read a value, or was told that its write is done, it never reads one that was certainly written before.

    Legal to ask of systems whose reads are linearizable, or sticky to one node; reads of a replica (`stale`) may go back, and
    are left out. Unknown when no client read a key twice.
    """
    wrote = writers(history)
    latest: dict[tuple[int, object], Attempt] = {}
    compared = 0
    backwards: list[tuple[Attempt, Attempt]] = []
    for attempt in attempts(history):
        if not attempt.ok or (attempt.done and attempt.done.stale):
            continue
        where = (attempt.asked.process, attempt.asked.key)
        seen = latest.get(where)
        if seen and attempt.asked.f == "read":
            compared += 1
            if _before(attempt, seen, wrote):
                backwards.append((seen, attempt))
        latest[where] = attempt
    if backwards:
        return Verdict(NAME, "invalid", _tell(backwards), [a.done for pair in backwards for a in pair if a.done])
    if not compared:
        return Verdict(NAME, "unknown", "no client saw a key twice: nothing to judge")
    return Verdict(NAME, "valid", f"reads that went back: 0 (of {compared})")


def _before(read: Attempt, seen: Attempt, wrote: Mapping[tuple[Any, Any], list[Attempt]]) -> bool:
    """The value read was over before the value seen was asked to be written."""
    if read.value == seen.value:
        return False
    of_seen, of_read = (wrote.get((read.asked.key, one.value), []) for one in (seen, read))
    if read.value is not None and not of_read:
        return False  # nobody wrote it: a phantom is another checker's
    return bool(of_seen) and all(older.until < a.asked.time for a in of_seen for older in of_read)


def _tell(backwards: Sequence[tuple[Attempt, Attempt]]) -> str:
    seen, read = backwards[0]
    return (
        f"reads that went back: {len(backwards)} (process {read.asked.process} saw {read.asked.key} = {seen.value!r} "
        f"and then {read.value!r} through {read.asked.node})"
    )
