# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a key may do, one operation at a time: the models that the linearizability search follows.

A model is a step from a state by a call to the next state, or to NO. Nothing here knows about time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nodewise.simulation.checkers.attempts import Attempt

NO: Final = object()  # the call cannot happen in this state
MOST_GUESSES = 4096  # states to begin with that are tried
OTHER: Final = ("other",)  # a value that no operation names


@dataclass(eq=False, slots=True)
class Call:
    """An operation as the search sees it.

    `pure` changes nothing, `blind` takes the place of whatever was there, and a call that is not `needed` may have happened at any
    time after it began, or never. `bit` is its place among the calls that are open at once.
    """

    f: str
    value: Any
    old: Any
    begin: float
    end: float
    attempt: Attempt
    pure: bool = False
    blind: bool = False
    needed: bool = True
    bit: int = 0


@dataclass(frozen=True)
class Model:
    """A kind of object, by what can be asked of it.

    `guesses` are the states that calls may have begun in, when nothing else is known. `goals`: see `_append_goals`.
    """

    name: str
    does: frozenset[str]
    initial: Any
    call: Callable[[Attempt], Call | None]
    step: Callable[[Any, Call], Any]
    guesses: Callable[[Sequence[Call]], list[Any]]
    keyed: bool = True  # whether each key is an object of its own
    goals: Callable[[Sequence[tuple[Call, bool]], Sequence[Call]], list[Call | None]] | None = None
    shown: Callable[[Any], str] | None = None  # a state, for people, where its value does not say it

    def starts(self, calls: Sequence[Call]) -> list[Any]:
        """The states that a whole history may begin in. Raises ValueError where that is unknown."""
        if self.keyed or any(call.f == "deposit" for call in calls):
            return [self.initial]
        if not (found := self.guesses(calls)):
            raise ValueError("what was there in the beginning is not known: no deposit, and no read to tell it by")
        return found


def frozen(value: Any) -> Any:
    """A value that can be compared and kept in a set."""
    if isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return tuple(sorted((str(key), frozen(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    return frozenset(map(frozen, value)) if isinstance(value, set | frozenset) else value


def _base(attempt: Attempt, f: str, value: Any, **more: Any) -> Call:
    return Call(f, frozen(value), None, attempt.asked.time, attempt.until, attempt, needed=attempt.ok, **more)


def _answered(attempt: Attempt, f: str = "read") -> Call | None:
    """A read that was answered, and not by a replica that may be behind."""
    if not attempt.ok or (attempt.done and attempt.done.stale):
        return None
    return _base(attempt, f, attempt.value, pure=True)


def _register_call(attempt: Attempt) -> Call | None:
    f = attempt.asked.f
    if f == "read":
        return _answered(attempt)
    if f == "cas":
        return _cas_call(attempt)
    return None if attempt.failed else _base(attempt, "write", attempt.asked.value, blind=True)


def _cas_call(attempt: Attempt) -> Call | None:
    """A compare-and-set; one that the system compared and refused has seen that the value was another one."""
    asked, done = attempt.asked, attempt.done
    if not attempt.failed:
        call = _base(attempt, "cas", asked.value)
    elif done and done.refused:
        call = Call("differs", None, None, asked.time, done.time, attempt, pure=True)
    else:
        return None
    call.old = frozen(asked.old)
    return call


def _register_step(state: Any, call: Call) -> Any:
    f = call.f
    if f == "read":
        return state if state == call.value else NO
    if f == "write":
        return call.value
    if f == "cas":
        return call.value if state == call.old else NO
    return state if state != call.old else NO  # differs


def _register_guesses(calls: Sequence[Call]) -> list[Any]:
    """Any value that a read saw, or a compare-and-set compared with; all others are alike."""
    seen = [call.value if call.f == "read" else call.old for call in calls if call.f != "write"]
    return [*dict.fromkeys(seen), OTHER]


def _append_call(attempt: Attempt) -> Call | None:
    """Operations on a text: `get`, `put` and `append`; or on a list whose elements are divided by commas: `read` and `append`."""
    f, ended = attempt.asked.f, "," if attempt.asked.f == "read" else ""
    if f in ("get", "read"):
        call = _answered(attempt, "get")
        if call:
            call.value = f"{call.value}{ended}" if call.value else ""
        return call
    return None if attempt.failed else _base(attempt, f, attempt.asked.value or "", blind=f == "put")


def _list_call(attempt: Attempt) -> Call | None:
    call = _append_call(attempt)
    if call and call.f == "append":
        call.value = f"{call.value},"
    return call


def _append_step(state: str, call: Call) -> Any:
    if call.f == "get":
        return state if state == call.value else NO
    return call.value if call.f == "put" else state + call.value


def _append_guesses(calls: Sequence[Call]) -> list[Any]:
    """What was read, with some of what was appended taken off its end."""
    ends = {call.value for call in calls if call.f == "append" and call.value}
    found = list(dict.fromkeys(call.value for call in calls if call.f == "get"))
    for one in found:  # grows meanwhile
        found += [left for end in ends if one.endswith(end) and (left := one[: -len(end)]) not in found]
    return [*found, "\0"]


def _append_goals(events: Sequence[tuple[Call, bool]], options: Sequence[Call]) -> list[Call | None]:
    """For each event the next answer that the text has to grow into, as nothing can be put in between any more."""
    lost = min((call.begin for call in options if call.f == "put"), default=math.inf)
    ends = {call: at for at, (call, begins) in enumerate(events) if not begins}
    goals: list[Call | None] = [None] * len(events)
    begun = {call for call, begins in events if begins}
    last_put, settled = max((at for call, at in ends.items() if call.f == "put" and call not in begun), default=-1), 0
    for at, (call, begins) in enumerate(events):
        if begins and call.f == "put":
            last_put = max(last_put, ends[call])
        elif not begins and call.f == "get" and call.end < lost:
            first = max(last_put + 1, settled)
            goals[first : at + 1] = [call] * max(0, at + 1 - first)
            settled = max(settled, at + 1)
    return goals


def _elements(state: str) -> str:
    return repr(state.rstrip(","))


def _mutex_call(attempt: Attempt) -> Call | None:
    return None if attempt.failed else _base(attempt, attempt.asked.f, None)


def _mutex_step(state: bool, call: Call) -> Any:
    if call.f == "acquire":
        return NO if state else True
    return False if state else NO


def _held(state: bool) -> str:
    return "a holder" if state else "no holder"


def _bank_call(attempt: Attempt) -> Call | None:
    asked, f = attempt.asked, attempt.asked.f
    if f in ("read", "balances"):
        call = _answered(attempt)
        if not call or not isinstance(attempt.value, dict | list | None):
            return None  # one account alone is another checker's
        call.value = frozen(dict(enumerate(attempt.value)) if isinstance(attempt.value, list) else attempt.value) or None
        return call
    if attempt.failed:
        return None
    if f == "deposit":
        return _base(attempt, f, asked.value, blind=True)
    return _base(attempt, f, (str(asked.value["from"]), str(asked.value["to"]), asked.value["amount"]))


def _bank_step(state: Any, call: Call) -> Any:
    """A state is the balances, sorted by account; None before there are any."""
    if call.f == "read":
        return state if state == call.value else NO
    if call.f == "deposit":
        return call.value
    if state is None:
        return NO
    source, target, amount = call.value
    return _moved(state, source, target, amount)


def _moved(state: Any, source: str, target: str, amount: int) -> Any:
    there = dict(state)
    if source not in there or target not in there:
        return NO
    there[source] -= amount
    there[target] += amount
    return tuple(sorted(there.items()))


def _bank_guesses(calls: Sequence[Call]) -> list[Any]:
    """What the first answer saw, without any of the transfers that had begun by then."""
    first = min((call for call in calls if call.f == "read" and call.value), key=lambda call: call.end, default=None)
    if not first:
        return []
    found = {first.value}
    for call in calls:
        if call.f == "transfer" and call.begin < first.end:
            source, target, amount = call.value
            found |= {back for state in found if (back := _moved(state, target, source, amount)) is not NO}
        if len(found) > MOST_GUESSES:
            return []
    return sorted(found)


REGISTER = Model("register", frozenset({"read", "write", "add"}), None, _register_call, _register_step, _register_guesses)
CAS = Model("cas-register", REGISTER.does | {"cas"}, None, _register_call, _register_step, _register_guesses)
TEXT = Model("kv-append", frozenset({"get", "put", "append"}), "", _append_call, _append_step, _append_guesses, goals=_append_goals)
LIST = Model(
    "kv-append", frozenset({"read", "append"}), "", _list_call, _append_step, _append_guesses, goals=_append_goals, shown=_elements
)
MUTEX = Model("mutex", frozenset({"acquire", "release"}), False, _mutex_call, _mutex_step, lambda _: [False, True], shown=_held)
BANK = Model(
    "bank", frozenset({"read", "balances", "transfer", "deposit"}), None, _bank_call, _bank_step, _bank_guesses, keyed=False
)
MODELS = (REGISTER, CAS, TEXT, LIST, MUTEX, BANK)
