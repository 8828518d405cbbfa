"""Small histories of any kind of object, drawn from a seed, and whether they are linearizable: every order is tried."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from nodewise.model import Operation
from nodewise.simulation.checkers.attempts import attempts

NONE = object()
READS = ("read", "get", "balances")
ENDS = (*["ok"] * 8, "info", "fail")


class Kind(NamedTuple):
    """An object, and what may be asked of it: an operation, its values, what a cas compares with, what a read may answer."""

    initial: Any
    moves: Sequence[tuple[str, Sequence[Any], Sequence[Any], Sequence[Any]]]


WRITE, READ = ("write", (1, 2, 3), (None,), (NONE,)), ("read", (None,), (None,), (None, 1, 2, 3))
SETS = [frozenset(one) for one in ([], [1], [2], [1, 2])]
PAID = {"a": 2, "b": 2}
KINDS: Mapping[str, Kind] = {
    "register": Kind(None, (READ, WRITE)),
    "cas-register": Kind(None, (READ, WRITE, ("cas", (1, 2), (None, 1, 2), (NONE,)))),
    "kv-append": Kind(
        "",
        (
            ("get", (None,), (None,), ("", "a", "ab", "ba", "b")),
            ("append", ("a", "b"), (None,), (NONE,)),
            ("append", ("a", "b"), (None,), (NONE,)),
            ("put", ("", "b"), (None,), (NONE,)),
        ),
    ),
    "mutex": Kind(False, (("acquire", (None,), (None,), (NONE,)), ("release", (None,), (None,), (NONE,)))),
    "set": Kind(frozenset(), (("read", (None,), (None,), SETS), ("add", (1, 2), (None,), (NONE,)))),
    "bank": Kind(
        PAID,
        (
            ("balances", (None,), (None,), (PAID, {"a": 1, "b": 3}, {"a": 3, "b": 1}, {"a": 0, "b": 4})),
            ("transfer", ({"from": "a", "to": "b", "amount": 1}, {"from": "b", "to": "a", "amount": 1}), (None,), (NONE,)),
        ),
    ),
}


def drawn(seed: int, name: str) -> list[Operation]:
    """A history in which three or four clients do anything at once, with any answers; a bank begins with a deposit."""
    draw, names = random.Random(f"{seed}/{name}"), itertools.count(4)
    clients = {number: number for number in range(draw.choice((3, 4)))}
    open_: dict[int, tuple[Operation, Any]] = {}
    history: list[Operation] = []
    if name == "bank":
        paid = Operation(99, "invoke", "deposit", None, PAID, -2)
        history = [paid, replace(paid, type="ok", time=-1)]
    for time in range(draw.randint(2, 5 * len(clients))):
        which, (f, values, olds, answers) = draw.randrange(len(clients)), draw.choice(KINDS[name].moves)
        if which not in open_:
            key = None if name in ("bank", "set") else "k"
            asked = Operation(clients[which], "invoke", f, key, draw.choice(values), time, old=draw.choice(olds))
            open_[which] = (asked, draw.choice(answers))
            history.append(asked)
            continue
        (asked, answer), ends = open_.pop(which), draw.choice(ENDS)
        value, refused = asked.value if answer is NONE else answer, ends == "fail" and asked.f == "cas"
        history.append(replace(asked, type=ends, value=value, time=time, refused=refused))
        if ends == "info":
            clients[which] = next(names)
    return history


def tried(history: Sequence[Operation], name: str) -> bool:
    """Whether any order of the operations explains every answer."""
    todo = []
    for one in attempts(history):
        f = "refused" if one.failed and one.done and one.done.refused else one.asked.f
        if (one.failed and f != "refused") or (f in READS and not one.ok) or f == "deposit":
            continue
        end = one.done.time if one.done and one.done.type != "info" else math.inf
        todo.append((one.asked.time, end, f, one.asked, one.value))
    return _orders(todo, KINDS[name].initial)


def _orders(todo: list[tuple[float, float, str, Operation, Any]], state: Any) -> bool:
    if all(end == math.inf for _, end, *_ in todo):
        return True
    first_end = min(end for _, end, *_ in todo)
    for number, (begin, _, f, asked, answer) in enumerate(todo):
        then = _after(f, state, asked, answer) if begin <= first_end else NONE
        if then is not NONE and _orders(todo[:number] + todo[number + 1 :], then):
            return True
    return False


def _after(f: str, state: Any, asked: Operation, answer: Any) -> Any:
    """What an object is after an operation that was answered so, or NONE where it cannot have been."""
    value = asked.value
    if f in READS:
        return state if answer == state else NONE
    if f in ("cas", "refused"):
        equal = state == asked.old
        return (NONE if equal else state) if f == "refused" else (value if equal else NONE)
    if f in ("acquire", "release"):
        return f == "acquire" if state != (f == "acquire") else NONE
    if f == "transfer":
        moved = {value["from"]: -value["amount"], value["to"]: value["amount"]}
        return {account: there + moved.get(account, 0) for account, there in state.items()}
    return {"append": lambda: state + value, "add": lambda: state | {value}}.get(f, lambda: value)()
