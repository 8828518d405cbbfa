"""Gates: each passes on what it is for, and fires on everything else, the unknown above all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodewise.errors import Refused
from nodewise.gates.context import context
from nodewise.gates.judgement import judge
from nodewise.gates.vocabulary import builtin_gates, parse_gates
from nodewise.model import Gate
from nodewise.upgrade.declared import declaration

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
    asked = context(now, before, ["n1", "n2", "n3"], to="3.5.16", node=case.get("node"), successor=successor)
    asked["regressions"] = case.get("regressions", [])
    found = judge(defined(case.get("system"), case.get("component", ""))[case["gate"]], asked)
    assert case["ok"] == found.ok, str(found)
    assert case.get("shows", "") in str(found)


@pytest.mark.parametrize(("system", "component"), [(None, ""), ("etcd", ""), ("postgresql", ""), ("postgresql", "patroni")])
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
