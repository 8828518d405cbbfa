# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `appended`: lists grow at their end alone, and keep everything that was appended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import Attempt, attempts

NAME = "appended"
TOLD = 4  # elements of a list that are told, its last ones

Writers = dict[str, list[Attempt]]  # element -> the attempts to append it, in order


def appended(history: Sequence[Operation]) -> Verdict:
    """Every list that was read is the beginning of the longest one, whose elements were appended, in this order, and as often.

    A list has what was acknowledged before the read began, unless a replica was read. Of two elements the one that was acknowledged
    before the other was begun comes first. Unknown when nothing was acknowledged, or when a node was not read in the end.
    """
    wrote: dict[Any, Writers] = defaultdict(lambda: defaultdict(list))
    read: dict[Any, list[Attempt]] = defaultdict(list)
    for attempt in attempts(history):
        if attempt.asked.f == "append":
            wrote[attempt.asked.key][attempt.asked.value].append(attempt)
        elif attempt.asked.f == "read":
            read[attempt.asked.key].append(attempt)
    wrong = [found for key, writers in wrote.items() for found in _wrong(key, writers, [one for one in read[key] if one.ok])]
    if wrong:
        evidence = [one.done for _, reads in wrong for one in reads if one.done]
        return Verdict(NAME, "invalid", f"lists that are wrong: {len(wrong)} ({wrong[0][0]})", evidence)
    if doubt := _doubt(wrote, read):
        return Verdict(NAME, "unknown", doubt)
    done = sum(one.ok for writers in wrote.values() for tries in writers.values() for one in tries)
    return Verdict(NAME, "valid", f"lists that are wrong: 0 (of {len(wrote)}, with {done} acknowledged elements)")


def elements(read: Attempt) -> list[str]:
    """What a read found in a list."""
    return str(read.value).split(",") if read.value else []


def _wrong(key: object, writers: Writers, reads: list[Attempt]) -> Iterator[tuple[str, list[Attempt]]]:
    """What is wrong with one list, the first thing alone, and the reads that show it."""
    if not reads:
        return
    longest = max(reads, key=lambda one: len(elements(one)))
    whole = elements(longest)
    for read in reads:
        found = elements(read)
        if found != whole[: len(found)]:
            yield f"{key} was read as {_end(found)} through {read.asked.node}, and as {_end(whole)}", [read, longest]
            return
        if not _stale(read) and (gone := _gone(writers, read, set(found))):
            yield f"{key} lacks {gone}, which was acknowledged before it was read through {read.asked.node}", [read]
            return
    if said := _off(writers, whole):
        yield f"{key} has {said}", [longest]


def _gone(writers: Writers, read: Attempt, found: set[str]) -> str | None:
    """An element that was acknowledged before a read began, and is not in it."""
    before = (one for one, tries in writers.items() if one not in found and any(t.until < read.asked.time for t in tries))
    return next(before, None)


def _off(writers: Writers, whole: list[str]) -> str | None:
    """An element that is there too often, or one that is before another though it was begun after that one's end."""
    for element, times in Counter(whole).items():
        possible = sum(not one.failed for one in writers.get(element, []))
        if times > possible:
            return f"{element} {times} times, which was appended {possible} times at most"
    earliest_end, last = float("inf"), ""
    for element in reversed(whole):  # who is behind must not have ended before this one was begun
        began = min(one.asked.time for one in writers[element] if not one.failed)
        if earliest_end < began:
            return f"{element} before {last}, which was acknowledged before that was begun"
        if len(tries := writers[element]) == 1 and tries[0].until < earliest_end:
            earliest_end, last = tries[0].until, element
    return None


def _doubt(wrote: dict[Any, Writers], read: dict[Any, list[Attempt]]) -> str | None:
    """Why it cannot be said that nothing is wrong, or None."""
    done = [key for key, writers in wrote.items() if any(one.ok for tries in writers.values() for one in tries)]
    if not done:
        return "nothing that was appended was acknowledged: nothing to judge"
    nodes = {one.asked.node for found in read.values() for one in found if one.asked.final}
    if not nodes:
        return "no final reads: what is still there was not looked at"
    for key in done:
        seen = {one.asked.node for one in read[key] if one.asked.final and one.ok}
        if nodes - seen:
            return f"{key} was not read through {', '.join(sorted(map(str, nodes - seen)))} after the workload"
    return None


def _stale(read: Attempt) -> bool:
    return bool(read.done and read.done.stale)


def _end(found: list[str]) -> str:
    """The last elements of a list, for people."""
    return f"[{'… ' if len(found) > TOLD else ''}{' '.join(found[-TOLD:])}]"
