# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `exclusive`: no lock has too many holders at once, but for as long as a lease lasts after one was lost.

A holder holds from when it was told so until it asks to let go, or to have the lock again. It may not know that it lost its lease,
so there may be one more after a recorded loss, and that has to be over when a lease's time is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import Attempt, attempts
from nodewise.simulation.checkers.context import NOTHING, Context

NAME = "exclusive"


class Hold(NamedTuple):
    """From when to when somebody believes to have a lock, in ns."""

    begin: float
    end: float
    attempt: Attempt


def exclusive(history: Sequence[Operation], context: Context = NOTHING) -> Verdict:
    """At every moment a lock has no more holders than it may, but within a lease's time after a fault, or after one slept (`idle`).

    Unknown when nobody, or one process alone, held a lock.
    """
    did = attempts(history)
    last = max((one.time for one in history), default=0)
    holds = _holds(did, last)
    if len({hold.attempt.asked.process for found in holds.values() for hold in found}) < 2:  # noqa: PLR2004
        return Verdict(NAME, "unknown", "fewer than two processes held a lock: nothing to judge")
    lease = (context.lease or 0.0) * 1e9
    slept = [(one.asked.time, one.done.time if one.done else last) for one in did if one.asked.f == "idle"]
    losses = [(begin, end + lease) for begin, end in [*context.windows, *slept]]
    wrong = [(key, *pair) for key, found in holds.items() for pair in _many(found, context.holders, losses)]
    if not wrong:
        return Verdict(
            NAME, "valid", f"locks with too many holders: 0 (of {len(holds)}, held {sum(map(len, holds.values()))} times)"
        )
    key, one, two, since, until = wrong[0]
    who = " and ".join(f"process {hold.attempt.asked.process} through {hold.attempt.asked.node}" for hold in (one, two))
    how_long = f"{(until - since) / 1e9:.3f} s from {since / 1e9:.3f} s on"
    evidence = [operation for _, *pair, _, _ in wrong for hold in pair for operation in hold.attempt if operation]
    return Verdict(
        NAME, "invalid", f"locks with too many holders: {len({row[0] for row in wrong})} ({key}: {who}, for {how_long})", evidence
    )


def _holds(did: Iterable[Attempt], last: float) -> dict[Any, list[Hold]]:
    """Who held each lock, by begin."""
    found: dict[Any, list[Hold]] = defaultdict(list)
    has: dict[tuple[int, Any], Attempt] = {}
    for one in did:
        if one.asked.f not in ("acquire", "release"):
            continue
        where = (one.asked.process, one.asked.key)
        if held := has.pop(where, None):
            found[one.asked.key].append(Hold(held.until, one.asked.time, held))
        if one.asked.f == "acquire" and one.ok:
            has[where] = one
    for (_, key), held in has.items():
        found[key].append(Hold(held.until, last, held))
    return {key: sorted(holds, key=lambda hold: hold.begin) for key, holds in found.items()}


def _many(holds: Sequence[Hold], most: int, losses: Sequence[tuple[float, float]]) -> Iterator[tuple[Hold, Hold, float, float]]:
    """Who came when there were enough, one who was there, and the first time of it that no loss explains."""
    open_: list[Hold] = []
    for hold in holds:
        open_ = [*(one for one in open_ if one.end > hold.begin), hold]
        if len(open_) > most:
            until = sorted(one.end for one in open_)[-most - 1]
            yield from ((open_[0], hold, *time) for time in islice(_outside(hold.begin, until, losses), 1))


def _outside(begin: float, end: float, losses: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The parts of a time that lie in none of the losses."""
    for since, until in sorted(losses):
        if since > begin:
            break
        begin = max(begin, until)
    if begin < end:
        yield begin, min([end, *(since for since, _ in losses if since > begin)])
