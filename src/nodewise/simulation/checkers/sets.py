# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Model `set`: elements are added and stay, and a read shows all of them, or tells of one key whether it is there.

No search: what is read grows from read to read, so each addition has its place between two of them. A history is gone through once,
and what is kept is a few numbers for each element, and each read of the whole set.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from nodewise.errors import UsageError
from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.models import frozen

NAME = "linearizable"
DOES = frozenset({"add", "read"})


@dataclass(slots=True)
class Whole:
    """A read of the whole set."""

    elements: frozenset[Hashable]
    begin: float
    end: float


Times = dict[Hashable, float]


@dataclass
class Seen:
    """What a history says of a set, so far: of each element, with its times, and of each read of all of them.

    A million elements are four dictionaries of numbers, which the garbage collector does not look through again and again.
    """

    begin: Times = field(default_factory=dict)  # of the first addition that may have happened
    end: Times = field(default_factory=dict)  # of the first that was acknowledged
    seen: Times = field(default_factory=dict)  # end of the first read of it alone that found it
    unseen: Times = field(default_factory=dict)  # begin of the last one that did not
    reads: list[Whole] = field(default_factory=list)
    count: int = 0

    def read(self, asked: Operation, done: Operation) -> None:
        """Go on by a read."""
        key = asked.key
        if done.type != "ok" or done.stale:
            return
        if key is None:
            self.reads.append(Whole(frozenset(map(frozen, done.value or ())), asked.time, done.time))
        elif done.value is None:
            self.unseen[key] = max(asked.time, self.unseen.get(key, -math.inf))
        else:
            self.seen[key] = min(done.time, self.seen.get(key, math.inf))


def _gone_through(history: Iterable[Operation]) -> Seen:  # noqa: C901 (a call for each addition would cost a third more)
    """All that a history says."""
    found, begun = Seen(), dict[int, Operation]()
    begin, end, pop = found.begin, found.end, begun.pop
    for operation in history:
        kind = operation.type
        if kind == "invoke":
            begun[operation.process] = operation
        elif asked := pop(operation.process, None):
            found.count += 1
            if asked.f == "read":
                found.read(asked, operation)
            elif asked.f != "add":
                raise _unknown(asked)
            elif kind != "fail":
                key, time = asked.key if asked.key is not None else frozen(asked.value), asked.time
                if begin.setdefault(key, time) > time:
                    begin[key] = time
                if kind == "ok" and end.setdefault(key, time := operation.time) > time:
                    end[key] = time
    for asked in begun.values():  # what never ended may have happened
        if asked.f == "add":
            key = asked.key if asked.key is not None else frozen(asked.value)
            begin[key] = min(asked.time, begin.get(key, math.inf))
        elif asked.f != "read":
            raise _unknown(asked)
    return found


def _unknown(asked: Operation) -> UsageError:
    return UsageError(f"the history has {asked.f}, which model set does not know; it knows {', '.join(sorted(DOES))}")


def judged_set(history: Iterable[Operation]) -> Verdict:
    """The verdict on a history of additions and reads; unknown when nothing was added for certain, or nothing read.

    Raises UsageError where the history has other operations.
    """
    found = _gone_through(history)
    wrong = next((what for what in (*_alone(found), *_together(found))), None)
    if wrong:
        return Verdict(NAME, "invalid", wrong)
    if not found.end or not (found.reads or found.seen or found.unseen):
        return Verdict(NAME, "unknown", "nothing was acknowledged, or nothing read: nothing to judge")
    return Verdict(NAME, "valid", f"elements without a place in any order: 0 (of {len(found.begin)}, in {found.count} operations)")


def _alone(found: Seen) -> Iterator[str]:
    """What is wrong with elements that were read one by one."""
    for key, time in found.seen.items():
        if time < found.begin.get(key, math.inf):
            yield _phantom(found, key)
    for key, time in found.unseen.items():
        if time > found.end.get(key, math.inf):
            yield _gone(key)
        elif time > found.seen.get(key, math.inf):
            yield f"{key!r} was not there any more, after it was read"


def _together(found: Seen) -> Iterator[str]:
    """What is wrong with reads of the whole set: each, by size, has to follow the one before it and what was added in between."""
    latest, before = -math.inf, frozenset[Hashable]()
    for read in sorted(found.reads, key=lambda read: (len(read.elements), read.begin)):
        if gone := before - read.elements:
            yield f"{min(map(repr, gone))} was read, and is not among {len(read.elements)} others that were: no one order"
            return
        new = {key: found.begin.get(key, math.inf) for key in read.elements - before}
        yield from (_phantom(found, key) for key, begin in new.items() if begin > read.end)
        yield from (_gone(key) for key in new if found.end.get(key, math.inf) < latest)
        latest = max([latest, *new.values()])
        if read.end < latest:
            yield f"a read of {len(read.elements)} elements ended before what comes first began"
        latest, before = max(latest, read.begin), read.elements
    yield from (_gone(key) for key, end in found.end.items() if key not in before and end < latest)


def _phantom(found: Seen, key: Hashable) -> str:
    return f"{key!r} was read, and {'added only later' if key in found.begin else 'nobody added it'}"


def _gone(key: Hashable) -> str:
    return f"{key!r} was not there any more, after its addition was acknowledged"
