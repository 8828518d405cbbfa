"""The system contract: what a role declares is there, for every system that this checkout has, and for its components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from nodewise.releases.rules import load_rules
from nodewise.upgrade.declared import components, declaration, vocabulary

ROOT = Path(__file__).parents[2]
VERBS = [
    "preflight",
    "install",
    "configure",
    "join",
    "start",
    "drain",
    "switch",
    "backup",
    "observe",
    "wipe",
    "collect",
    "sample",
    "healthy",
]
SYSTEMS = sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/upgrade.yml"))
PARTS = [(role, name) for role in SYSTEMS for name in ("", *components(role))]

each_system = pytest.mark.parametrize("role", SYSTEMS, ids=lambda role: role.name)
each_part = pytest.mark.parametrize(("role", "component"), PARTS, ids=lambda part: getattr(part, "name", part) or "itself")


def missing(role: Path) -> list[str]:
    """What a role lacks of the contract: a verb's file, its entry, a step's file."""
    specs = loaded(role / "meta" / "argument_specs.yml")["argument_specs"]
    files = {verb: role / "tasks" / f"{verb}.yml" for verb in VERBS}
    lacking = [f"tasks/{verb}.yml" for verb, file in files.items() if not file.exists()]
    lacking += [f"argument_specs: {verb}" for verb in VERBS if verb not in specs]
    parts = [declaration(role, name) for name in ("", *components(role))]
    steps = [step for part in parts for step in (*part.steps, *part.before_first, *part.after_last)]
    named = sorted({name for step in steps for name in (step.verb, step.undo) if name})
    own = [name for name in named if name not in VERBS]
    lacking += [f"tasks/{name}.yml" for name in own if not (role / "tasks" / f"{name}.yml").exists()]
    return lacking + [f"argument_specs: {name}" for name in own if name not in specs]


def loaded(path: Path) -> dict[str, Any]:
    """A YAML file."""
    return dict(yaml.safe_load(path.read_text()) or {})


@each_system
def test_a_system_has_what_the_contract_asks_for(role: Path) -> None:
    """Each verb has its file and says what it reads; each step and each undo that is declared can be performed."""
    assert [] == missing(role)


@each_system
def test_what_a_verb_reads_has_a_value(role: Path) -> None:
    """Every variable of an argument_spec has its default, so that a cluster is told by the user's own variables alone."""
    specs = loaded(role / "meta" / "argument_specs.yml")["argument_specs"]
    known = loaded(role / "defaults" / "main.yml")
    assert [] == [f"{verb}: {name}" for verb, spec in specs.items() for name in spec.get("options", {}) if name not in known]


@each_part
def test_gates_that_are_named_are_defined(role: Path, component: str) -> None:
    """And the rules of the path can be read, also those of a component."""
    declared = declaration(role, component)
    asked = {*declared.ready, *declared.finalize.after, *(name for step in declared.steps for name in step.after)}
    assert set() == asked - set(vocabulary(declared, {}))
    assert load_rules(role, {}, component)


@each_part
def test_a_change_of_a_node_can_be_taken_back_and_is_judged(role: Path, component: str) -> None:
    """A step that switches waits for the version it put there, asks whether it is, and names what takes it back."""
    switches = [step for step in declaration(role, component).steps if step.settled.get("node_version")]
    assert switches
    assert [] == [step.name for step in switches if not step.undo or "node_at_target" not in step.after]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """A role without a verb's file, its entry and a step's file lacks all three."""
    for name, text in {
        "meta/upgrade.yml": "{ready: [], steps: [{name: switch, verb: turn}], finalize: {name: finalize}}",
        "meta/argument_specs.yml": "{argument_specs: {observe: {}}}",
        "tasks/observe.yml": "[]",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    said = missing(tmp_path)
    assert {"tasks/backup.yml", "argument_specs: backup", "tasks/turn.yml"} <= set(said)
    assert "tasks/observe.yml" not in said
