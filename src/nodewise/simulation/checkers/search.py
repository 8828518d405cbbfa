# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking for one order of a key's calls that its model allows, and in which every call happens in its own time.

The search goes from one end of a call to the next. A call that ends must have happened by then; only where it has not are others
put before it (just-in-time linearization: G. Lowe, Testing for linearizability, 2016). Three rules keep the ways few:

- A call that changes nothing happens as soon as the state allows it: that never spoils anything.
- When a call takes the place of whatever was there, all other such calls that are open may have happened just before it.
- Of two ways to one state by the same calls, only the one that leaves more open is followed.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from nodewise.simulation.checkers.models import NO, Call, Model

Events = list[tuple[Call, bool]]  # calls in the order of time, twice each: True where one begins, False where it ends


# How far a search has come in one way: the next event, the state, and three sets of calls, as bits. Open calls that have changed
# the state; open calls that count as done, as they changed nothing or may have been replaced at once; options that have changed it.
Way = tuple[int, Any, int, int, int]


class Open(NamedTuple):
    """The calls that are open at an event."""

    changing: list[Call]
    seeing: list[Call]  # they change nothing
    blind: int  # bits of those that take the place of whatever was there
    dependent: bool  # whether there are others, options among them


class Search:
    """A search that can be interrupted: `run` goes on where it was. The same calls take the same steps on any machine.

    `starts` are the states to begin with, `since` the time: what began before it counts as done where that helps.
    """

    def __init__(self, model: Model, calls: Sequence[Call], starts: Iterable[Any], since: float = -math.inf) -> None:
        self.steps = 0
        self.furthest = -1
        self._step = model.step
        self._events, early = _events([call for call in calls if call.needed], since)
        self._options = sorted((call for call in calls if not call.needed), key=lambda call: call.begin)
        self._open = _open(self._events, early, not all(call.blind for call in self._options))
        self._begins = [call.begin for call in self._options]
        self._goals = model.goals(self._events, self._options) if model.goals else None
        self._known: list[dict[tuple[Any, int], list[tuple[int, int]]]] = [{} for _ in self._events]
        self._todo: list[Way] = [(0, state, 0, sum(call.bit for call in early), 0) for state in starts]

    @property
    def due(self) -> Call:
        """The call whose end the search came to and could not pass."""
        return self._events[self.furthest][0]

    def run(self, steps: int) -> bool | None:
        """Whether there is such an order; None when so many steps did not tell."""
        until = self.steps + steps
        while self._todo:
            if self.steps >= until:
                return None
            self.steps += 1
            way = self._forward(*self._todo.pop())
            if way is None:
                return True
            if self._new(way):
                self.furthest = max(self.furthest, way[0])
                self._todo += self._on(way)
        return False

    def states(self) -> list[Any]:
        """All states in which the call that is due may have met the object."""
        found: dict[Any, None] = {}
        for (state, taken), ways in self._known[self.furthest].items():
            for done, used in ways:
                calls = self._candidates((self.furthest, state, taken, done, used))
                then = [self._step(state, call) for call, _ in calls if call is not self.due]
                found |= dict.fromkeys([state, *(one for one in then if one is not NO)])
        return list(found)

    def _forward(self, at: int, state: Any, taken: int, done: int, used: int) -> Way | None:
        """As far as there is nothing to choose; None at the end."""
        events, step = self._events, self._step
        for now in range(at, len(events)):
            call, begins = events[now]
            if begins:
                if call.pure and step(state, call) is not NO:
                    done |= call.bit
            elif taken & call.bit or (call.pure and done & call.bit):
                taken, done = taken & ~call.bit, done & ~call.bit
            else:
                return now, state, taken, done, used
        return None

    def _new(self, way: Way) -> bool:
        """Whether no way was here before that left as much open."""
        at, state, taken, done, used = way
        ways = self._known[at].setdefault((state, taken), [])
        for known, less in ways:
            if not (done & ~known or less & ~used):
                return False
        ways.append((done, used))
        return True

    def _on(self, way: Way) -> list[Way]:
        """The ways on, by one call each; the one to be tried first comes last."""
        at, state, taken, done, used = way
        due, (_, seeing, blind, dependent) = self._events[at][0], self._open[at]
        waiting = [one for one in seeing if not done & one.bit]
        straight, aside = list[Way](), list[Way]()
        if done & due.bit:  # replaced at once, or not: both are followed
            straight.append((at + 1, state, taken, done & ~due.bit, used))
        for call, option in self._candidates(way):
            then = self._step(state, call)
            if then is NO or (self._goals and not self._grows(way, then)):
                continue
            seen = sum([one.bit for one in waiting if self._step(then, one) is not NO])
            over = ((done | blind & ~taken if call.blind else done) | seen) & ~call.bit
            if call is due:
                straight.append((at, then, taken | call.bit, over, used | option))
            elif seen or not call.blind or (dependent and self._enables(then, way)):
                aside.append((at, then, taken | call.bit, over, used | option))
        return aside[::-1] + straight

    def _candidates(self, way: Way) -> list[tuple[Call, int]]:
        """Calls that may change the state now, those that are options with their bit. Of options that are alike one is enough."""
        at, _, taken, _, used = way
        found = [(call, 0) for call in self._open[at].changing if not taken & call.bit]
        if not self._options:
            return found
        alike = set()
        for number in range(bisect_right(self._begins, self._events[at][0].end)):
            call, option = self._options[number], 1 << number
            kind = (call.f, call.value, call.old)
            if not used & option and kind not in alike:
                alike.add(kind)
                found.append((call, option))
        return found

    def _enables(self, state: Any, way: Way) -> bool:
        """Whether a call that depends on the state could come next. If none could, the state was replaced before anybody saw it."""
        return any(not call.blind and self._step(state, call) is not NO for call, _ in self._candidates(way))

    def _grows(self, way: Way, state: Any) -> bool:
        """Whether a state can still become what is read next, where nothing can take its place before."""
        at, _, _, done, _ = way
        goal = self._goals[at] if self._goals else None
        if goal is None or (goal.begin <= self._events[at][0].end and done & goal.bit):
            return True
        return bool(goal.value.startswith(state))


def _events(calls: Sequence[Call], since: float) -> tuple[Events, list[Call]]:
    """All begins and ends from a time on, and the calls that were open then. Each call has a bit of its own while it is open."""
    ends = [(call.end, 1, number, call) for number, call in enumerate(calls)]
    begins = [(call.begin, 0, number, call) for number, call in enumerate(calls)]
    events, early, free, most = Events(), list[Call](), list[int](), 0
    for time, ends_now, _, call in sorted([*begins, *ends], key=lambda one: one[:3]):
        if ends_now:
            heapq.heappush(free, call.bit)
            events.append((call, False))
            continue
        if not free:
            heapq.heappush(free, 1 << most)
            most += 1
        call.bit = heapq.heappop(free)
        if time < since:
            early.append(call)
        else:
            events.append((call, True))
    return events, early


def _open(events: Events, early: Sequence[Call], dependent: bool) -> list[Open]:
    """For each end of a call, the calls that are open then."""
    now, found = dict.fromkeys(early), list[Open]()
    for call, begins in events:
        if begins:
            now[call] = None
            found.append(_NOTHING)
            continue
        changing, blind = [one for one in now if not one.pure], [one for one in now if one.blind]
        bits, others = sum(one.bit for one in blind), dependent or len(blind) < len(changing)
        found.append(Open(changing, [one for one in now if one.pure], bits, others))
        del now[call]
    return found


_NOTHING = Open([], [], 0, dependent=False)
