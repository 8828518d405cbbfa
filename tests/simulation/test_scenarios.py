"""The scenarios that come with Nodewise, as a user types them: each fault proved and healed, and every promise kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodewise.record import journal
from nodewise.simulation import scenario
from nodewise.testnet import state
from nodewise.testnet.home import checkout
from tests.conftest import Run

SEED = os.environ.get("NODEWISE_SEED", "4711")
NewName = Callable[[], str]


def faults_of(name: str) -> list[str]:
    """The ids of a scenario's faults, in their order."""
    given = yaml.safe_load((checkout() / "scenarios" / f"{name}.yml").read_text())
    return [fault["id"] for fault in given.get("faults", [])]


DISTURBED = sorted(path.stem for path in (checkout() / "scenarios").glob("*.yml") if faults_of(path.stem))


def judged(folder: Path, faults: list[str]) -> dict[str, Any]:
    """The summary of the only run in a folder, whose faults all went from asked to healed."""
    (record,) = (path for path in (folder / "runs").iterdir() if path.is_dir())
    states: dict[str, list[str]] = {fault: [] for fault in faults}
    for one in journal.read(record / "journal.jsonl"):
        if one["kind"] == "fault":
            states[one["fault"]].append(one["state"])
    assert [["asked", "in_effect", "healing", "healed"]] * len(faults) == list(states.values())
    summary = dict(json.loads((record / "summary.json").read_text()))
    assert "valid" == summary["verdict"], summary["checkers"]
    assert 0 == summary["workload"]["lost"]
    assert {"progress", "coverage", "durable"} <= {one["checker"] for one in summary["checkers"]}
    return summary


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in DISTURBED])
def test_a_scenario(cli: Run, new_name: NewName, tmp_path: Path, name: str) -> None:
    """It is judged valid, with the fixed seed, and nothing of its testnet is left."""
    net = new_name()
    done = cli("run", name, "--name", net, "--seed", SEED, cwd=tmp_path, timeout=600)
    assert 0 == done.returncode, done.stdout + done.stderr
    upgrade = scenario.load(name).upgrade
    assert judged(tmp_path, faults_of(name))["outcome"] in (upgrade.ends if upgrade else ["passed"])
    assert state.find(net) is None


def test_up_with_a_scenario(cli: Run, new_name: NewName, tmp_path: Path) -> None:
    """The cluster is made, disturbed, judged, and left up; the nodes hold nothing any more."""
    net, name = new_name(), "replication-under-partition"
    done = cli("up", "--nodes", "5", "--scenario", name, "--name", net, cwd=tmp_path)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "passed" == judged(tmp_path, faults_of(name))["outcome"]
    assert "passed: " in done.stdout
    assert 5 == len(state.load(net).nodes)
    assert "no node holds a fault\n" == cli("heal", "--name", net).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "replication-under-partiton"], "did you mean replication-under-partition?"),
        (["run", "replication-under-partition", "--nodes", "1"], "may take away 1 of 1 members at once; max_down allows 0"),
        (["up", "--scenario", "majority-ring", "--nodes", "3"], "a majority ring of 3 nodes; expected 5 or more"),
        (["up", "--scenario", "majority-ring", "--var", "nodewise_soak=1"], "variables stand in the scenario"),
    ],
)
def test_what_is_refused(cli: Run, tmp_path: Path, words: list[str], says: str) -> None:
    """In a line or two, with exit code 2, and nothing is made."""
    done = cli(*words, cwd=tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert says in done.stderr
    assert not list(tmp_path.iterdir())
