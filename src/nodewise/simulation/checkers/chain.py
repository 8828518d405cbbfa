# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `chain`: the compare-and-sets of a register follow each other, as if each had happened at one moment.

Values are unique, so each has one that it took the place of, and what took effect is a chain. The history is linearizable exactly
if there is a moment for each link, in this order: not before it was asked for, or before a read of the one before it began; not
after it was acknowledged, or after a read of it ended.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import Attempt, attempts

NAME = "chain"


Values = dict[Any, list[Attempt]]  # of a register: value -> who tried to write it, or read it


class Link(NamedTuple):
    """A value that took effect, and what shows so: the attempts that may have written it, and the reads of it."""

    value: Any
    wrote: list[Attempt]
    reads: list[Attempt]


def chain(history: Sequence[Operation]) -> Verdict:
    """No value was replaced twice, and every read saw what was there at some moment between its beginning and its end.

    Reads of a replica are left out. Unknown when no compare-and-set was acknowledged.
    """
    wrote: dict[Any, dict[Any, list[Attempt]]] = defaultdict(lambda: defaultdict(list))
    read: dict[Any, dict[Any, list[Attempt]]] = defaultdict(lambda: defaultdict(list))
    for one in attempts(history):
        if one.asked.f == "cas" and not one.failed:
            wrote[one.asked.key][one.asked.value].append(one)
        elif one.asked.f == "read" and one.ok and not (one.done and one.done.stale):
            read[one.asked.key][one.value].append(one)
    done = sum(one.ok for values in wrote.values() for tries in values.values() for one in tries)
    if not done:
        return Verdict(NAME, "unknown", "no compare-and-set was acknowledged: nothing to judge")
    wrong = [found for key, values in wrote.items() for found in _wrong(key, values, read[key])]
    if wrong:
        evidence = [one.done for _, shown in wrong for one in shown if one.done]
        return Verdict(NAME, "invalid", f"registers that are no chain: {len(wrong)} ({wrong[0][0]})", evidence)
    return Verdict(NAME, "valid", f"registers that are no chain: 0 (of {len(wrote)}, with {done} acknowledged changes)")


def _wrong(key: object, wrote: Values, read: Values) -> Iterator[tuple[str, list[Attempt]]]:
    """What is wrong with one register, the first thing alone, and what shows it."""
    before = {value: tries[0].asked.old for value, tries in wrote.items()}
    after: dict[Any, Any] = {}
    for value in sorted(_in_effect(wrote, read, before), key=lambda value: wrote[value][0].asked.time):
        old, did = before[value], [one for one in wrote[value] if one.ok]
        if old in after:
            both = [*wrote[after[old]], *wrote[value]]
            yield f"{key} = {old!r} was replaced twice: by {after[old]!r} and by {value!r}", both
            return
        if len(did) > 1:
            yield f"{key}: {value!r} was acknowledged {len(did)} times, and can take its place only once", did
            return
        after[old] = value
    roots = [None, *(value for value in before.values() if value not in {None, *wrote})]  # nothing was there, or nobody's value
    for links in (_links(root, after, wrote, read) for root in roots):
        if found := _no_moment(key, links):
            yield found
            return


def _in_effect(wrote: Values, read: Values, before: dict[Any, Any]) -> set[Any]:
    """The values that took effect: acknowledged, read, or replaced by one that took effect."""
    seen = {value for value, tries in wrote.items() if value in read or any(one.ok for one in tries)}
    todo = list(seen)
    while todo:
        older = before[todo.pop()]
        if older in wrote and older not in seen:
            seen.add(older)
            todo.append(older)
    return seen


def _links(root: Any, after: dict[Any, Any], wrote: Values, read: Values) -> list[Link]:
    """The chain that begins with a value."""
    links, at = [Link(root, [], read.get(root, []))], root
    while at in after and len(links) <= len(after):
        at = after[at]
        links.append(Link(at, wrote[at], read.get(at, [])))
    return links


def _no_moment(key: object, links: list[Link]) -> tuple[str, list[Attempt]] | None:
    """The first link of a chain for which there is no moment: something that had to come first began after its end."""
    latest, last = -math.inf, None
    for link in links:
        done = [one for one in link.wrote if one.ok] or link.wrote
        for one in done[:1]:
            latest, last = max((latest, last), (float(one.asked.time), one), key=lambda pair: pair[0])
        for one in [*done, *link.reads]:
            if one.until < latest and last:
                return f"{key}: {_told(one)} ended before {_told(last)} began, which has to come first", [last, one]
        for one in link.reads:
            latest, last = max((latest, last), (float(one.asked.time), one), key=lambda pair: pair[0])
    return None


def _told(one: Attempt) -> str:
    return f"the {one.asked.f} of {one.value!r} by process {one.asked.process} through {one.asked.node}"
