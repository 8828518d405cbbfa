# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The faults of a scenario as a plan, resolved from one seed before anything is done: the same seed and inputs, the same bytes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from nodewise.errors import UsageError
from nodewise.simulation.faults.fault import Fault, seconds
from nodewise.simulation.faults.held import checked
from nodewise.simulation.faults.host import Scene
from nodewise.simulation.faults.registry import read
from nodewise.simulation.faults.targets import minority
from nodewise.text import nearest

WAITS = ("after", "with", "step", "when")  # what the time of a fault may be counted from
TIMES = ("id", "kind", "at", "for", *WAITS)  # fields that every fault has


class Event(msgspec.Struct, frozen=True):
    """A fault with its times drawn, in seconds, and the order of nodes (short names) that its targets are taken from."""

    fault: dict[str, Any]
    at: float
    lasts: float
    order: list[str]

    @property
    def id(self) -> str:
        """The fault's name."""
        return str(self.fault["id"])

    def read(self) -> Fault:
        """The fault."""
        return read(self.fault)


def plan(given: Sequence[dict[str, Any]], nodes: int, seed: int, max_down: int | None = None) -> list[Event]:
    """Draw what is left open. Raises UsageError for faults that make no sense, or take away more members than `max_down`.

    Without `max_down` a majority has to be left, whatever happens at once.
    """
    names = [f"n{number}" for number in range(1, nodes + 1)]
    faults = [read(one) for one in given]
    if len(ids := [checked(fault.id) for fault in faults]) != len(set(ids)):
        raise UsageError(f"two faults have one id: {', '.join(ids)}")
    for fault in faults:
        fault.check(names)
        _check_waits(fault, ids)
    _refuse_circles({fault.id: fault.after or fault.together for fault in faults})
    events = [_event(fault, names, seed) for fault in faults]
    limit = minority(nodes) if max_down is None else max_down
    most = _most_at_once(events, faults, nodes)
    if most > limit:
        raise UsageError(f"the faults may take away {most} of {nodes} members at once; max_down allows {limit}")
    if most > minority(nodes) and (needs := [fault.id for fault in faults if fault.majority]):
        raise UsageError(f"{needs[0]} is healed by a majority, and the faults may take away {most} of {nodes} members at once")
    return events


def refuse_unfit(events: Sequence[Event], scene: Scene) -> None:
    """Raise UsageError for a fault that cannot be done to this cluster; no host is asked."""
    for event in events:
        if why := event.read().cannot(scene):
            raise UsageError(f"{event.id}: {why}")


def _event(fault: Fault, names: list[str], seed: int) -> Event:
    draw = random.Random(hashlib.sha256(f"{seed}/{fault.id}".encode()).digest())  # one fault more changes no other
    at, lasts = (round(draw.uniform(*seconds(span)), 3) for span in (fault.at, fault.lasts))
    return Event(fault.about(), at, lasts, draw.sample(names, len(names)))


def _check_waits(fault: Fault, ids: list[str]) -> None:
    """What it waits for is one thing, which is there. Raises UsageError."""
    about = fault.about()
    if len(waits := [name for name in WAITS if about[name]]) > 1:
        raise UsageError(f"{fault.id} waits for {' and '.join(waits)}; expected one of them")
    if (other := fault.after or fault.together) and (other not in ids or other == fault.id):
        near = nearest(other, [one for one in ids if one != fault.id])
        raise UsageError(f"{fault.id} comes {waits[0]} {other!r}, which is no other fault{near}; there are: {', '.join(ids)}")
    if fault.when:
        try:
            jmespath.compile(fault.when)
        except JMESPathError as error:
            raise UsageError(f"{fault.id}: when is no JMESPath: {str(error).splitlines()[0]}") from error


def _refuse_circles(after: dict[str, str]) -> None:
    for one in after:
        seen = [one]
        while current := after[seen[-1]]:
            if current in seen:
                raise UsageError(f"faults wait for each other: {' after '.join([*seen, current])}")
            seen.append(current)


def _most_at_once(events: Sequence[Event], faults: Sequence[Fault], nodes: int) -> int:
    """How many members may be away at once. One whose beginning is not a fixed time may meet any but those that it comes after."""
    takes = {event.id: fault.takes(nodes) for event, fault in zip(events, faults, strict=True)}
    fixed = {event.id: (event.at, event.at + event.lasts) for event, f in zip(events, faults, strict=True) if not _waits(f)}
    times = sorted({time for span in fixed.values() for time in span})
    at_once = [sum(takes[one] for one, (began, ended) in fixed.items() if began <= time < ended) for time in times]
    chains = [fault for fault in faults if _waits(fault)]
    first = {fault.id: fault.after for fault in faults}

    def follows(one: str, other: str) -> bool:
        return bool(first[one]) and (first[one] == other or follows(first[one], other))

    loose = 0
    for fault in chains:
        beside = [o for o in takes if o != fault.id and not follows(fault.id, o) and not follows(o, fault.id)]
        loose = max(loose, takes[fault.id] + sum(takes[o] for o in beside))
    return min(nodes, max([*at_once, loose, 0]))


def _waits(fault: Fault) -> bool:
    """Whether its beginning is no fixed time."""
    return any(fault.about()[name] for name in WAITS)


def lines(events: Sequence[Event]) -> list[str]:
    """The plan for people, a line a fault."""
    return [_line(event, event.fault) for event in events]


def _line(event: Event, fault: dict[str, Any]) -> str:
    own = {key: value for key, value in fault.items() if key not in TIMES and value}
    about = ", ".join(f"{key} {_words(value)}" for key, value in own.items())
    words = {"after": "after {} was healed", "with": "with {}", "step": "into step {}", "when": "once {}"}
    since = "".join(f" {words[name].format(fault[name])}" for name in WAITS if fault.get(name))
    when = f"at {event.at:g} s{since}, for {event.lasts:g} s"
    return f"{fault['id']}: {fault['kind']} ({about}) {when}; order {' '.join(event.order)}"


def _words(value: Any) -> str:
    """A field's value: a target that is a number, or a list, as people say it."""
    if isinstance(value, dict):
        return f"{value['random']} at random"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
