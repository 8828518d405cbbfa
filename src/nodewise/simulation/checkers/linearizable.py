# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `linearizable`: each key behaves as if every operation had happened at one moment of its own time.

Keys are searched in turns, in slices of doubling size, so that a hard key does not hide a broken one, and the first that is broken
ends the search. Budgets count steps, not seconds: a history has the same verdict on any machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from nodewise.errors import UsageError
from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import attempts
from nodewise.simulation.checkers.models import MODELS, Call, Model
from nodewise.simulation.checkers.search import Search
from nodewise.simulation.checkers.sets import judged_set
from nodewise.simulation.checkers.window import smallest, told

NAME = "linearizable"
NAMES = (*dict.fromkeys(model.name for model in MODELS), "set")
SLICE, BUDGET = 500, 2_000_000  # steps of a key's first slice, and of all keys together


def linearizable(history: Sequence[Operation]) -> Verdict:
    """There is one order of each key's operations that explains every answer. Reads of a replica are left out.

    Unknown when nothing was acknowledged, or when no order was found or ruled out in two million steps.
    """
    return judged(history, fitting(operation.f for operation in history))


def fitting(asked: Iterable[str]) -> Model:
    """The first model that knows all these operations. Raises ValueError."""
    asked = set(asked)
    if found := next((model for model in MODELS if asked <= model.does), None):
        return found
    raise ValueError(f"no model knows all of {', '.join(sorted(asked))}")


def by_name(history: Iterable[Operation], name: str) -> Verdict:
    """The verdict on a history by a model of this name. Raises UsageError where the history has what the model does not know."""
    if name == "set":
        return judged_set(history)
    whole = list(history)
    named = [model for model in MODELS if model.name == name]
    fits = [model for model in named if all(operation.f in model.does for operation in whole)]
    return judged(whole, fits[0]) if fits else judged([*_known(whole, named[0].does, name)], named[0])


def _known(history: Iterable[Operation], does: Collection[str], name: str) -> Iterator[Operation]:
    for operation in history:
        if operation.f not in does:
            raise UsageError(f"the history has {operation.f}, which model {name} does not know; it knows {', '.join(sorted(does))}")
        yield operation


def judged(history: Iterable[Operation], model: Model, budget: int = BUDGET) -> Verdict:
    """The verdict on a history by a model."""
    keys = calls_of(history, model)
    count = sum(len(calls) for calls in keys.values())
    if not any(call.needed for calls in keys.values() for call in calls):
        return Verdict(NAME, "unknown", "nothing was acknowledged: nothing to judge")
    searches = {key: Search(model, calls, model.starts(calls)) for key, calls in keys.items()}
    for key, search in _wrong(searches, budget):
        window = smallest(model, keys[key], search)
        return Verdict(NAME, "invalid", told(key, window), window.operations())
    if searches:
        some = ", ".join(str(key) for key in list(searches)[:3])
        says = (
            f"{len(searches)} of {len(keys)} keys are undecided after {budget:,} steps ({some}): neither an order nor its absence"
        )
        return Verdict(NAME, "unknown", says)
    return Verdict(NAME, "valid", f"keys without an order that explains every answer: 0 (of {len(keys)}, with {count} operations)")


def calls_of(history: Iterable[Operation], model: Model) -> dict[Any, list[Call]]:
    """The calls of each key; all of one, where a model's object is the whole history."""
    found: dict[Any, list[Call]] = defaultdict(list)
    for attempt in attempts(history):
        if call := model.call(attempt):
            found[attempt.asked.key if model.keyed else None].append(call)
    return dict(found)


def _wrong(searches: dict[Any, Search], budget: int) -> Iterator[tuple[Any, Search]]:
    """The keys that are found to have no order. Those that have one are taken out, so what is left is undecided."""
    share = SLICE
    while searches and budget > 0:
        for key, search in list(searches.items()):
            before = search.steps
            ended = search.run(min(share, budget))
            budget -= search.steps - before
            if ended is not None:
                del searches[key]
            if ended is False:
                yield key, search
        share *= 2
