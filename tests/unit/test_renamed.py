"""Names that were others once: what older versions wrote is read in today's words, and users' old names still work."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from ansible_collections.nodewise.cluster.plugins.module_utils.node import state
from nodewise import renamed
from nodewise.gates.vocabulary import parse_gates
from nodewise.model import ReasonCode
from nodewise.record import journal
from nodewise.record.run import Run
from nodewise.upgrade.declared import declaration
from tests.notes import NAMES
from tests.unit.simulated import Simulated

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
OLD = Path(__file__).parents[1] / "cases/old_records"


def test_an_old_record_is_read(tmp_path: Path) -> None:
    """Journal, plan and summary of a run of 0.1 tell what those of today would."""
    run = Run(OLD / "run")
    assert ("paused", "n3 did not come back") == run.outcome()
    assert None is run.reason_code()
    assert [1] == [r["batch"] for r in run.records("note") if "batch" in r]
    assert ["recover", "mixed_version_check"] == [r["step"] for r in run.records("step")]
    assert ["not every member serves"] == [r["fail_msg"] for r in run.records("gate")]
    assert "intervention_required" == run.read_json("summary.json")["outcome"]
    plan = run.read_plan()
    assert ["n1"] == plan.batches[0].nodes
    assert ({}, True, False) == (plan.recover, plan.settings.mixed_version_check, plan.settings.deep_check)
    assert {"not every member serves"} == {gate.fail_msg for gate in plan.gates.values()}
    assert [True, False] == [step.checks_mixed_versions for step in plan.steps]
    Run(tmp_path).write_plan(plan)
    assert plan == Run(tmp_path).read_plan(), "today's words are read as they are"


@pytest.mark.parametrize(("old", "new"), [*renamed.OUTCOMES.items(), ("upgraded", "upgraded"), (None, None)])
def test_what_an_old_run_left_on_a_node(tmp_path: Path, old: str | None, new: str | None) -> None:
    """Outcomes and steps in state.json are those of today, so the same command goes on; the node's table is the controller's."""
    steps = [{"step": "repair", "ok": True}, {"step": "switch", "ok": None}]
    record = {"run": "r", "to": "2", "kind": "upgrade", "outcome": old, "steps": steps}
    written = {"fence": 1, "lease": None, "upgrade": record, "others": {"sidecar": record}}
    (tmp_path / "state.json").write_text(json.dumps(written))
    found = state.read(str(tmp_path))
    for one in (found["upgrade"], found["others"]["sidecar"]):
        assert new == one["outcome"]
        assert ["recover", "switch"] == [step["step"] for step in one["steps"]]
    assert (renamed.OUTCOMES, renamed.STEPS) == (state.OUTCOMES, state.STEPS)


def test_old_keys_of_a_role_of_ones_own(tmp_path: Path) -> None:
    """`says` of a gate and `proves` of a step are read; given both, the new key counts."""
    old = {"that": "a", "says": "old"}
    gates = parse_gates({"one": old, "two": {**old, "fail_msg": "new"}})
    assert ["old", "new"] == [gate.fail_msg for gate in gates.values()]
    (tmp_path / "meta").mkdir()
    declared = {"ready": [], "steps": [{"name": "switch", "proves": True}], "finalize": {"name": "finalize"}, "gates": {"one": old}}
    (tmp_path / "meta/upgrade.yml").write_text(yaml.safe_dump(declared))
    assert declaration(tmp_path).steps[0].checks_mixed_versions
    assert ["gates: says is now fail_msg (one); the old key works until 0.3"] == renamed.gate_warnings(declared["gates"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ([{"nodewise_upgrade_path": []}, {}], []),
        ([{"nodewise_via": []}, {"nodewise_via": []}], ["nodewise_via is now nodewise_upgrade_path; the old name works until 0.3"]),
        (
            [{"nodewise_group": []}, {"nodewise_group": [], "nodewise_quorum_group": []}],
            ["nodewise_group is now nodewise_quorum_group (both are given, the new one counts); the old name works until 0.3"],
        ),
    ],
)
def test_what_is_said_of_old_names(hosts: list[dict[str, Any]], expected: list[str]) -> None:
    """One line for all hosts, with what counts where both names are given."""
    assert expected == renamed.warnings(hosts)


def test_old_names_are_warned_of(tmp_path: Path) -> None:
    """One line a run for the variables that have another name now, and one for gates; without any there is none."""
    notes = Simulated(tmp_path)
    assert "upgraded" == notes.upgrade("1.1.0")
    assert [] == notes.warned
    notes.next_run()
    notes.inventory(notes={name: {"nodewise_group": "a", "nodewise_until": "", "nodewise_window_end": ""} for name in NAMES})
    old = {"mine": {"that": "`true`", "says": "never"}}
    assert "upgraded" == notes.upgrade("1.2.0", gates=old)
    assert ["warning: gates: says is now fail_msg (mine); the old key works until 0.3"] == [
        r["text"] for r in notes.journal() if r.get("text", "").startswith("warning: ")
    ]
    (variables,) = notes.warned
    assert variables.startswith(
        "nodewise_until is now nodewise_window_end (both are given, the new one counts), nodewise_group is now"
    )
    assert ["a"] == list(yaml.safe_load((notes.run_dir / "plan.yaml").read_text())["groups"])


def test_a_torn_old_line_is_passed_over() -> None:
    """What cannot be read in either words is no record."""
    assert [] == list(journal.parse(['{"seq": 1, "kind": "note", "turn"', "3", "null"]))


def test_a_role_has_old_names_of_its_own(tmp_path: Path) -> None:
    """What its `meta/renamed.yml` says is warned of like everyone's; without one there are those alone."""
    assert renamed.VARIABLES == renamed.of_role(tmp_path)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/renamed.yml").write_text("nodewise_ink: nodewise_notes_ink")
    said = renamed.warnings([{"nodewise_ink": 1, "nodewise_via": []}], renamed.of_role(tmp_path))
    assert [
        "nodewise_via is now nodewise_upgrade_path, nodewise_ink is now nodewise_notes_ink; the old names work until 0.3"
    ] == said


def test_old_overrides_are_waivers() -> None:
    """What one of them says is waived by its new name, with a warning; a waiver of that name has its own reason."""
    old = {"nodewise_accept_outage": "True", "nodewise_accept_one_way": False}
    assert {"quorum_at_risk": "nodewise_accept_outage is true"} == renamed.waivers({}, old)
    assert {"quorum_at_risk": "a lab"} == renamed.waivers({"quorum_at_risk": "a lab"}, old)
    (said,) = renamed.warnings([old])
    assert said.startswith("nodewise_accept_outage is now nodewise_waive (quorum_at_risk), ")
    assert all(
        re.search(rf"^\| `{name}` +\| `nodewise_waive`.*`{new}`", GLOSSARY, re.MULTILINE) for name, new in renamed.WAIVERS.items()
    )


ROLES = [name for path in ROOT.glob("roles/*") for name in renamed.of_role(path).items()]


@pytest.mark.parametrize(("old", "new"), sorted({*ROLES, *renamed.OUTCOMES.items(), *renamed.GATE_KEYS.items()}))
def test_the_glossary_has_every_new_name(old: str, new: str) -> None:
    """The page for people has the table of old and new names."""
    assert re.search(rf"^\| `{old}` +\| `{new}`", GLOSSARY, re.MULTILINE)


def test_reason_codes() -> None:
    """Those that the code gives are those that there are, and the glossary says of each what it means."""
    section = GLOSSARY.partition("\n## Reason codes\n")[2].partition("\n## ")[0]
    assert sorted(get_args(ReasonCode)) == re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == sorted(codes())


def test_whoever_pauses_says_why() -> None:
    """Each place that pauses a run, or leaves it to an operator, gives a reason code."""
    without = [
        f"{path.name}:{call.lineno}"
        for path, call in calls()
        if {"paused", "intervention_required", "outcome"} & {name(one) for one in call.args}
        and not set(map(name, call.args)) & PAUSES
    ]
    assert [] == without


PAUSES = {*get_args(ReasonCode), "reason_code"}


def name(node: ast.expr) -> str:
    """A constant's text, or the last word of a name."""
    return str(getattr(node, "value", None) if isinstance(node, ast.Constant) else getattr(node, "id", getattr(node, "attr", "")))


def calls() -> list[tuple[Path, ast.Call]]:
    """Where a run's outcome is decided, and where a pause is raised."""
    trees = [
        (path, ast.parse(path.read_text())) for folder in ("src/nodewise", "plugins") for path in (ROOT / folder).rglob("*.py")
    ]
    nodes = [(path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(path, node) for path, node in nodes if name(node.func) in ("halt", "conclude", "Paused")]


def codes() -> set[str]:
    """The reason codes that are given somewhere; a run that nobody decided has its own, in the summary."""
    return {name(one) for _path, call in calls() for one in call.args} & set(get_args(ReasonCode))
