"""Each checker, broken on purpose in each of its rules, is noticed: some history that is known gets another verdict."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.model import Operation, Verdict
from nodewise.simulation import checkers
from nodewise.simulation.checkers import linearizable
from tests.unit.tried import KINDS, drawn, tried

CASES = Path(__file__).parents[1] / "cases" / "checkers"
SEARCHED = ("models", "search", "sets", "window", "linearizable")  # in the order of who imports whom

# file -> (the rule, what is put in its place)
BROKEN: dict[str, list[tuple[str, str]]] = {
    "search": [
        ("if call.pure and step(state, call) is not NO:", "if call.pure:"),  # any read is right
        ("if begins:\n                if call.pure", "if True:\n                if call.pure"),  # nothing ever has to end
        (
            "elif taken & call.bit or (call.pure and done & call.bit):",
            "elif (taken | done) & call.bit:",
        ),  # replaced, and no other way
        ("if done & due.bit:", "if False:"),  # never replaced at once
        ("if not (done & ~known or less & ~used):", "if True:"),  # the first way to a state is the only one
        ("if not (done & ~known or less & ~used):", "if not less & ~used:"),
        ("((done | blind & ~taken if call.blind else done) | seen)", "(done | blind | seen)"),  # any call replaces
        ("| seen) & ~call.bit", ") & ~call.bit"),  # reads never happen in between
        ("elif seen or not call.blind or", "elif not call.blind or"),
        ("or (dependent and self._enables(then, way))", ""),
        ("return aside[::-1] + straight", "return straight"),  # only the call that is due
        ("if not used & option and kind not in alike:", "if not used:"),  # one option for all
        ("if not used & option and kind not in alike:", "if False:"),  # what was not acknowledged never happened
    ],
    "models": [
        ('return state if state == call.value else NO\n    if call.f == "deposit"', 'return state\n    if call.f == "deposit"'),
        ("return call.value if state == call.old else NO", "return call.value"),
        ("return state if state != call.old else NO  # differs", "return state"),
        ("return NO if state else True", "return True"),
        ("return False if state else NO", "return False"),
        ('return call.value if call.f == "put" else state + call.value', "return state + call.value"),
        ("if not attempt.ok or (attempt.done and attempt.done.stale):", "if not attempt.ok:"),
        ("elif done and done.refused:", "elif False:"),
        ("there[target] += amount", "there[target] += 0"),
        ("needed=attempt.ok", "needed=True"),
    ],
    "sets": [
        ("if one.seen < one.begin:", "if False:"),
        ("elif one.unseen > min(one.end, one.seen):", "elif one.unseen > one.seen:"),
        ("elif one.unseen > min(one.end, one.seen):", "elif one.unseen > one.end:"),
        ("if gone := before - read.elements:", "if gone := frozenset():"),
        ("for key, one in new.items() if one.end < latest)", "for key, one in ())"),
        ("if read.end < latest:", "if False:"),
        ("if key not in before and one.end < latest)", "if False)"),
        ('elif operation.type != "fail":', "else:"),
        ('if done.type != "ok" or done.stale:', 'if done.type != "ok":'),
    ],
}


def broken(file: str, rule: str, by: str, names: Iterable[str]) -> dict[str, Any]:
    """Modules of the checkers, one of them with a rule replaced; those that are there stay as they are."""
    kept, made = dict(sys.modules), {}
    try:
        for name in names:
            path = Path(checkers.__path__[0]) / f"{name}.py"
            source = path.read_text()
            if name == file:
                assert 1 == source.count(rule), f"{rule!r} is {source.count(rule)} times in {path}"
                source = source.replace(rule, by)
            made[name] = sys.modules[f"{checkers.__name__}.{name}"] = types.ModuleType(f"{checkers.__name__}.{name}")
            exec(compile(source, path, "exec"), made[name].__dict__)  # noqa: S102 it is our own
    finally:
        sys.modules.update(kept)
    return made


@cache
def known() -> list[tuple[str, list[Operation], bool]]:
    """Small histories of each kind, and whether they are linearizable."""
    return [(name, history, tried(history, name)) for name in KINDS for seed in range(500) for history in [drawn(seed, name)]]


def noticed(by_name: Callable[[list[Operation], str], Verdict]) -> bool:
    """Whether the verdict on a known history is another one, or a crash; on replicas, keys and late additions by hand."""
    try:
        verdicts = ((by_name(history, name).valid, right) for name, history, right in known())
        return any(valid != "unknown" and (valid == "valid") != right for valid, right in verdicts) or _off(by_name)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        return True


def _off(by_name: Callable[[list[Operation], str], Verdict]) -> bool:
    return any(by_name(history, name).valid != linearizable.by_name(history, name).valid for name, history in BY_HAND)


def ops(*given: tuple[int, str, str, Any, Any]) -> list[Operation]:
    """A history from (process, type, f, key, value)."""
    return [Operation(process, kind, f, key, value, time) for time, (process, kind, f, key, value) in enumerate(given)]  # type: ignore[arg-type]


A_ADDED = [(0, "invoke", "add", "a", 1), (0, "ok", "add", "a", 1)]
A_SEEN, A_UNSEEN = ([(1, "invoke", "read", "a", None), (1, "ok", "read", "a", value)] for value in (1, None))
STALE = ops(*A_ADDED, *A_UNSEEN)
STALE[-1].stale = True
READ_1, READ_2 = ([(9, "invoke", "read", None, None), (9, "ok", "read", None, [value])] for value in (1, 2))
TWO_WAYS = json.loads((CASES / "register_that_one_of_two_ways_to_a_state_explains.json").read_text())["history"]
BY_HAND = [
    ("register", STALE),
    ("register", msgspec.convert(TWO_WAYS, list[Operation])),
    *(
        ("set", history)
        for history in (
            STALE,
            ops(*A_ADDED, *A_SEEN),
            ops(*A_ADDED, *A_UNSEEN),
            ops(*A_SEEN, *A_ADDED),
            ops(*A_SEEN),
            ops(A_ADDED[0], *A_SEEN, *A_UNSEEN),
            ops(A_ADDED[0], *A_UNSEEN, *A_SEEN),
            ops(A_ADDED[0], (0, "fail", "add", "a", 1), *A_SEEN),
            ops((0, "invoke", "add", None, 1), (1, "invoke", "add", None, 2), *READ_1, *READ_2),
        )
    ),
]


def test_nothing_is_noticed_of_what_is_whole() -> None:
    """As they are, the checkers find what trying all orders finds."""
    assert not noticed(broken("models", "NO: Final", "NO: Final", SEARCHED)["linearizable"].by_name)


@pytest.mark.parametrize(("file", "rule", "by"), [(file, *rule) for file, rules in BROKEN.items() for rule in rules])
def test_a_broken_rule_is_noticed(file: str, rule: str, by: str) -> None:
    """A search without one of its rules finds something else."""
    assert noticed(broken(file, rule, by, SEARCHED)["linearizable"].by_name)
