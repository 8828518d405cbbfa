# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a key is not linearizable: the fewest operations that show it by themselves, and what would have been legal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from nodewise.model import Operation
from nodewise.simulation.checkers.models import Call, Model
from nodewise.simulation.checkers.search import Search

STEPS = 20_000  # for each try to do with less
FEW = 40  # calls: of more, which ones could be left out is not tried
LONG = 40  # characters of a value that are told
SHOWN = 4  # legal values that are told


class Window(NamedTuple):
    """`due` is the call that has no place, `calls` those that leave it none, and itself, by their begin."""

    due: Call
    calls: list[Call]
    legal: list[str]  # what it could have found

    def operations(self) -> list[Operation]:
        """Their operations."""
        return [one for call in self.calls for one in call.attempt if one]


def smallest(model: Model, calls: Sequence[Call], failed: Search) -> Window:
    """The window of a search that found no order."""
    if model.goals:  # they cut a way off before the call that it fails at
        again = Search(replace(model, goals=None), calls, model.starts(calls))
        failed = again if again.run(STEPS) is False else failed
    due, legal = failed.due, sorted({(model.shown or _short)(state) for state in failed.states()})
    until = [_cut(call, due.end) for call in calls if call.begin <= due.end and (call.end <= due.end or not call.pure)]
    due = next(call for call in until if call.attempt is due.attempt)
    since = _latest(model, until, due)
    kept = _fewest(model, [call for call in until if call.end >= since], due, since)
    return Window(due, sorted((call for call in kept if call.needed), key=lambda call: call.begin), legal)


def _cut(call: Call, time: float) -> Call:
    """A call as it was known at a time: one that was open then need not have happened."""
    return replace(call, needed=False) if call.end > time else replace(call)


def _impossible(model: Model, calls: Sequence[Call], since: float) -> bool:
    """Whether these calls are without an order, whatever was before: certain, or no."""
    starts = model.starts(calls) if since == -math.inf else model.guesses(calls)
    return bool(starts) and Search(model, calls, starts, since).run(STEPS) is False


def _latest(model: Model, calls: Sequence[Call], due: Call) -> float:
    """The latest time from which on the calls are impossible by themselves; from the beginning of all, where there is no other."""
    times = sorted({call.begin for call in calls if call.begin <= due.begin}, reverse=True)

    def impossible(number: int) -> bool:
        since = times[number]
        return _impossible(model, [call for call in calls if call.end >= since], since)

    known, number = -1, 0
    while number < len(times) and not impossible(number):
        known, number = number, max(1, number * 2)
    if number >= len(times):
        return -math.inf
    while number - known > 1:
        middle = (number + known) // 2
        known, number = (known, middle) if impossible(middle) else (middle, number)
    return times[number]


def _fewest(model: Model, calls: Sequence[Call], due: Call, since: float) -> list[Call]:
    """The calls without those that need not be known: one that changes something may then have happened at any time, or never."""
    kept = list(calls)
    for call in [call for call in calls if call.needed and call is not due] if len(calls) <= FEW else []:
        others = [one for one in kept if one is not call]
        fewer = others if call.pure else [*others, replace(call, needed=False, begin=-math.inf)]
        if _impossible(model, fewer, since):
            kept = fewer
    return kept


def told(key: Any, window: Window) -> str:
    """What is wrong, in a line."""
    asked = window.due.attempt.asked
    who = f"process {asked.process}{f' through {asked.node}' if asked.node else ''}"
    legal = [*window.legal[:SHOWN], *(["…"] if len(window.legal) > SHOWN else [])]
    found = "would have been legal" if window.due.f in ("read", "get") else "was there"
    of = f" of {key}" if key is not None else ""
    return f"the {words(window.due)}{of} by {who} fits no order: {' or '.join(legal)} {found}"


def words(call: Call) -> str:
    """An operation and its values."""
    f, asked = call.attempt.asked.f, call.attempt.asked
    if call.f in ("cas", "differs"):
        return f"{'refused ' if call.pure else ''}cas of {_short(asked.old)} to {_short(asked.value)}"
    value = call.attempt.value
    return f if value is None and call.f in ("acquire", "release") else f"{f} of {_short(value)}"


def _short(value: Any) -> str:
    """A value; of a long one its end, where what was appended last is."""
    said = value if isinstance(value, str) else repr(value)
    return repr(value) if len(said) <= LONG else f"'…{said[-LONG:]}'"
