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

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.models import frozen

NAME = "linearizable"
DOES = frozenset({"add", "read"})


@dataclass(slots=True)
class Element:
    """When an element may have been added, and the reads of it alone. Times as in the history."""

    begin: float = math.inf  # of the first addition that may have happened
    end: float = math.inf  # of the first that was acknowledged
    seen: float = math.inf  # end of the first read that found it
    unseen: float = -math.inf  # begin of the last read that did not


@dataclass(slots=True)
class Whole:
    """A read of the whole set."""

    elements: frozenset[Hashable]
    begin: float
    end: float


@dataclass
class Seen:
    """What a history says of a set, so far."""

    elements: dict[Hashable, Element] = field(default_factory=dict)
    reads: list[Whole] = field(default_factory=list)
    count: int = 0
    open: dict[int, Operation] = field(default_factory=dict)

    def take(self, operation: Operation) -> None:
        """Go on by one operation."""
        if operation.type == "invoke":
            self.open[operation.process] = operation
        elif asked := self.open.pop(operation.process, None):
            self.count += 1
            if asked.f == "read":
                self._read(asked, operation)
            elif operation.type != "fail":
                self._added(asked, operation.time if operation.type == "ok" else math.inf)

    def over(self) -> None:
        """The end: what never ended may have happened."""
        for asked in self.open.values():
            if asked.f == "add":
                self._added(asked, math.inf)

    def _element(self, key: Hashable) -> Element:
        if (known := self.elements.get(key)) is None:
            known = self.elements[key] = Element()
        return known

    def _added(self, asked: Operation, end: float) -> None:
        key = asked.key if asked.key is not None else frozen(asked.value)
        element = self._element(key)
        element.begin = min(element.begin, asked.time)
        element.end = min(element.end, end)

    def _read(self, asked: Operation, done: Operation) -> None:
        if done.type != "ok" or done.stale:
            return
        if asked.key is None:
            self.reads.append(Whole(frozenset(map(frozen, done.value or ())), asked.time, done.time))
            return
        element = self._element(asked.key)
        if done.value is None:
            element.unseen = max(element.unseen, asked.time)
        else:
            element.seen = min(element.seen, done.time)


def judged_set(history: Iterable[Operation]) -> Verdict:
    """The verdict on a history of additions and reads; unknown when nothing was added for certain, or nothing read."""
    found = Seen()
    for operation in history:
        found.take(operation)
    found.over()
    wrong = next((what for what in (*_alone(found.elements), *_together(found))), None)
    if wrong:
        return Verdict(NAME, "invalid", wrong)
    acknowledged = sum(element.end < math.inf for element in found.elements.values())
    if not acknowledged or not (found.reads or any(e.seen < math.inf or e.unseen > -math.inf for e in found.elements.values())):
        return Verdict(NAME, "unknown", "nothing was acknowledged, or nothing read: nothing to judge")
    return Verdict(
        NAME, "valid", f"elements without a place in any order: 0 (of {len(found.elements)}, in {found.count} operations)"
    )


def _alone(elements: dict[Hashable, Element]) -> Iterator[str]:
    """What is wrong with elements that were read one by one."""
    for key, one in elements.items():
        if one.seen < one.begin:
            yield _phantom(key, one)
        elif one.unseen > min(one.end, one.seen):
            yield _gone(key) if one.unseen > one.end else f"{key!r} was not there any more, after it was read"


def _together(found: Seen) -> Iterator[str]:
    """What is wrong with reads of the whole set: each, by size, has to follow the one before it and what was added in between."""
    latest, before = -math.inf, frozenset[Hashable]()
    for read in sorted(found.reads, key=lambda read: (len(read.elements), read.begin)):
        if gone := before - read.elements:
            yield f"{min(map(repr, gone))} was read, and is not among {len(read.elements)} others that were: no one order"
            return
        new = {key: found.elements.get(key, _NOBODY) for key in read.elements - before}
        yield from (_phantom(key, one) for key, one in new.items() if one.begin > read.end)
        yield from (_gone(key) for key, one in new.items() if one.end < latest)
        latest = max([latest, *(one.begin for one in new.values())])
        if read.end < latest:
            yield f"a read of {len(read.elements)} elements ended before what comes first began"
        latest, before = max(latest, read.begin), read.elements
    yield from (_gone(key) for key, one in found.elements.items() if key not in before and one.end < latest)


def _phantom(key: Hashable, one: Element) -> str:
    return f"{key!r} was read, and {'added only later' if one.begin < math.inf else 'nobody added it'}"


def _gone(key: Hashable) -> str:
    return f"{key!r} was not there any more, after its addition was acknowledged"


_NOBODY = Element()
