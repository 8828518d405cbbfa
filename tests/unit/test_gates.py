"""Gates: each passes on what it is for, and fires on everything else, the unknown above all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodewise.errors import Refused
from nodewise.gates import judgement
from nodewise.gates.context import context
from nodewise.gates.judgement import judge
from nodewise.gates.vocabulary import builtin_gates, parse_gates
from nodewise.model import Gate
from nodewise.upgrade.declared import declaration
from nodewise.upgrade.preflight import refuse_unready

from .observed import observation

ROOT = Path(__file__).parents[2]
CASES = sorted((ROOT / "tests/cases/gates").glob("*.json"))


def defined(system: str | None, component: str = "") -> dict[str, Gate]:
    """The gates that a case is about: the engine's, or those of a system's role, or of a component, which has the system's, too."""
    return parse_gates(declaration(ROOT / "roles" / system, component).gates) if system else builtin_gates()


@pytest.mark.parametrize("case", [pytest.param(json.loads(path.read_text()), id=path.stem) for path in CASES])
def test_gate(case: dict[str, Any]) -> None:
    """A gate is true for the situation it asks for, and says what it found in any other."""
    now = observation(case["cluster"], case.get("system"), **case["members"])
    before = observation(case.get("before"), case.get("system"))
    successor = case.get("successor")
    asked = context(
        now, before, ["n1", "n2", "n3"], to="3.5.16", node=case.get("node"), changed=case.get("changed", True), successor=successor
    )
    asked["regressions"] = case.get("regressions", [])
    found = judge(defined(case.get("system"), case.get("component", ""))[case["gate"]], asked)
    assert case["ok"] == found.ok, str(found)
    assert case.get("shows", "") in str(found)


@pytest.mark.parametrize(
    ("system", "component"), [(None, ""), ("app", ""), ("etcd", ""), ("postgresql", ""), ("postgresql", "patroni")]
)
def test_every_gate_has_a_case_in_which_it_fires(system: str | None, component: str) -> None:
    """A gate without a case in which it fails does not exist."""
    fired = {case["gate"] for case in map(json.loads, (path.read_text() for path in CASES)) if not case["ok"]}
    assert set(defined(system, component)) - fired == set()


@pytest.mark.parametrize(
    "that", ["`1`", "'true'", "now.members", "nothing.at.all", "length(nothing)", "`null`", "min(now.members)"]
)
def test_only_true_passes(that: str) -> None:
    """Truthy values, nulls and expressions that fail are all a no."""
    asked = context(observation(), observation(), ["n1", "n2", "n3"], to="3.5.16")
    assert not judge(Gate(name="g", that=that, fail_msg="no"), asked).ok


@pytest.mark.parametrize(
    "table", [{"g": {"that": "length("}}, {"g": {"fail_msg": "x"}}, {"g": {"that": "a", "fail_msg": "x", "extra": 1}}, {"g": None}]
)
def test_a_gate_that_cannot_be_read_is_refused(table: dict[str, Any]) -> None:
    """A gate that does not parse is refused by its name, before anything begins."""
    with pytest.raises(Refused, match="gate g cannot be read"):
        parse_gates(table)


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [({"measured": "now"}, "no bound"), ({"bound": 0}, "no measured"), ({"measured": "now", "bound": True}, "bool")],
)
def test_a_gate_measures_against_a_bound(fields: dict[str, Any], lacking: str) -> None:
    """One without the other, or a bound that can be no number, is refused."""
    with pytest.raises(Refused, match=f"gate g cannot be read: .*{lacking}"):
        parse_gates({"g": {"that": "`true`", "fail_msg": "no", **fields}})


@pytest.mark.parametrize(
    ("lag", "bound", "ok", "near"),
    [
        (899, 1000, True, False),
        (900, 1000, True, True),
        (1000, 1000, True, True),
        (1050, 1000, True, True),
        (0, 0, True, False),
        (None, 1000, False, False),
        (7, "nothing.at.all", False, False),
        (7, "max('x')", False, False),
        (7, "'x'", False, False),
    ],
)
def test_what_is_measured(lag: int | None, bound: float | str, *, ok: bool, near: bool) -> None:
    """Numbers are kept with the verdict; near is a tenth of the bound; what is unknown, or no number, was not near and is a no."""
    asked = context(observation(n1={"lag": lag}), observation(), ["n1", "n2", "n3"], to="3.5.16")
    found = judge(Gate("g", "`true`", "no", measured="now.members[0].lag", bound=bound), asked)
    assert ok == found.ok
    assert near == judgement.near(found.numbers)
    assert not ok or found.record() == {"gate": "g", "ok": True, "fail_msg": "no", "measured": lag, "bound": bound}


def test_a_gate_that_measures_no_number_is_refused() -> None:
    """Before anything begins, also where it is asked only later, and where an operator declares it."""
    etcd, own = declaration(ROOT / "roles/etcd"), {"g": {"that": "a", "fail_msg": "x", "measured": "to", "bound": 1}}
    with pytest.raises(Refused, match=r"gate g cannot be read: measured is 3\.5\.16, expected a number or null"):
        refuse_unready(etcd, {"c": observation()}, {"c": ["n1", "n2", "n3"]}, "3.5.16", own_gates=own)


@pytest.mark.parametrize(
    ("system", "gate", "numbers"),
    [("etcd", "caught_up", (0, 1000)), ("postgresql", "caught_up", (0, 0)), ("postgresql", "store_seen", (1.2, 20))],
)
def test_what_systems_measure(system: str, gate: str, numbers: tuple[float, float]) -> None:
    """The largest of all members, against its bound; null when one does not say."""
    field = {"lag": None} if gate == "caught_up" else {"details": {"store_seen_s": None}}
    for member, measured in (({}, numbers[0]), (field, None)):
        asked = context(observation(None, system, n1=member), observation(None, system), ["n1", "n2", "n3"], to="3.5.16")
        assert {"measured": measured, "bound": numbers[1]} == judge(defined(system)[gate], asked).numbers
