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
from nodewise.simulation.checkers.context import Context
from nodewise.simulation.checkers.registry import CHECKERS
from nodewise.simulation.checkers.registry import IN_CONTEXT as ASKED
from tests.unit.tried import KINDS, drawn, tried

CASES = Path(__file__).parents[1] / "cases" / "checkers"
IN_CONTEXT = [one.__name__ for one in ASKED]
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
        ("if time < found.begin.get(key, math.inf):", "if False:"),
        ("if time > found.end.get(key, math.inf):", "if False:"),
        ("elif time > found.seen.get(key, math.inf):", "elif False:"),
        ("if gone := before - read.elements:", "if gone := frozenset():"),
        ("for key in new if found.end.get(key, math.inf) < latest)", "for key in ())"),
        ("if read.end < latest:", "if False:"),
        ("if key not in before and end < latest)", "if False)"),
        ('elif kind != "fail":', "else:"),
        ('if done.type != "ok" or done.stale:', 'if done.type != "ok":'),
    ],
}


# Checkers that do not search: each case of tests/cases/checkers has its verdict.
ALONE: dict[str, list[tuple[str, str]]] = {
    "durable": [
        ("gone and read.asked.key not in lost", "False"),
        ("if missing := nodes - seen[key]:", "if missing := set():"),
        ("if read.ok:", "if True:"),
    ],
    "once": [("count > possible[where[0]]", "False"), ("not a.failed for a in found", "True for a in found")],
    "no_phantom": [("a.asked.time < read.until", "True"), ("if read.value is not None and not any(", "if False and not any(")],
    "monotonic": [
        ("older.until < a.asked.time", "False"),
        ("(attempt.done and attempt.done.stale)", "False"),
    ],
    "chain": [
        ("if old in after:", "if False:"),
        ("if len(did) > 1:", "if False:"),
        ("if one.until < latest and last:", "if False:"),
        ("and not (one.done and one.done.stale)", ""),
        ("if value in read or any(one.ok for one in tries)", "if any(one.ok for one in tries)"),
    ],
    "appended": [
        ("if found != whole[: len(found)]:", "if False:"),
        ("if not _stale(read) and (gone", "if False and (gone"),
        ("if times > possible:", "if False:"),
        ("if earliest_end < began:", "if False:"),
        ("if nodes - seen:", "if False:"),
    ],
    "balanced": [
        ("total != sum(first.values())", "False"),
        ("elif lowest < 0:", "elif False:"),
        ("times > possible or", ""),
        ("(times == 0 and any(one.ok for one in tries))", "False"),
        ("(stale or look.asked.time < paid)", "False"),
        ("int(there[key]) != expected[key]]", "False]"),
    ],
    "fenced": [
        ("pair[0] < highest[0] + least", "False"),
        ("least=1)", "least=0)"),
        ("ended[at][1].until < pair[1].asked.time", "True"),
    ],
    "answered": [
        ("if len(nodes) < 2:", "if False:"),
        ("if one.ok or (one.done and one.done.refused):", "if one.ok:"),
        ("if len(run) >= ENOUGH and run[-1]", "if run and run[-1]"),
        ("and run[-1].asked.time - run[0].asked.time >= LONG_NS", ""),
        ("if kind == f for one", "for one"),
        ("one.ok and begin <= one.asked.time <= end", "one.ok"),
    ],
    "exclusive": [
        ("if len(open_) > most:", "if False:"),
        ("[*context.windows, *slept]", "[*context.windows]"),
        ("[*context.windows, *slept]", "[*slept]"),
        ("end + lease)", "end)"),
        ("if held := has.pop(where, None):", 'if one.asked.f == "release" and (held := has.pop(where, None)):'),
        ("if since > begin:", "if False:"),
        ("for (_, key), held in has.items():", "for (_, key), held in ():"),
    ],
    "converged": [
        ("if len(values) > 1:", "if False:"),
        ("if silent or len(seen) < 2:", "if len(seen) < 2:"),
        ("if silent or len(seen) < 2:", "if silent:"),
    ],
    "no_panic": [
        ("if found:", "if False:"),
        ("if not context.logs or not all(log.strip() for log in context.logs.values()):", "if not context.logs:"),
    ],
    "traffic": [
        ("min(wrote, read) < ENOUGH", "wrote < ENOUGH"),
        ("min(wrote, read) < ENOUGH", "read < ENOUGH"),
        ("and not asked.final", ""),
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


@pytest.mark.parametrize(("name", "rule", "by"), [(name, *rule) for name, rules in ALONE.items() for rule in rules])
def test_a_broken_checker_is_noticed(name: str, rule: str, by: str) -> None:
    """A checker without one of its rules has another verdict on a recorded situation."""
    checker = getattr(broken(name, rule, by, [name])[name], name)
    assert any(_other(checker, name, json.loads(path.read_text())) for path in CASES.glob("*.json"))


def _other(checker: Callable[..., Verdict], name: str, case: dict[str, Any]) -> bool:
    if name not in case["expected"]:
        return False
    history = msgspec.convert(case["history"], list[Operation])
    try:
        found = checker(history, Context(**case.get("context", {}))) if name in IN_CONTEXT else checker(history)
    except ValueError:
        return False  # of a history that no clients can have had
    except (IndexError, KeyError):
        return True
    wanted = case["expected"][name]
    return (wanted["valid"], True) != (found.valid, wanted.get("says", "") in found.says)


def test_every_checker_is_broken() -> None:
    """No checker is left out."""
    assert {*CHECKERS} == {*ALONE, "linearizable"}
