"""A run that fails, performed again and made smaller on real testnets, by the commands that a user types."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodewise.testnet import state
from nodewise.testnet.home import checkout
from tests.conftest import Run

pytestmark = pytest.mark.slow
SEED = "4711"
# The client of docs/simulation.md with a bug: a write that nobody answers is taken for done.
SOUND, PLANTED = '"fail" if asked["f"] in ("open", "read") else "info"', '"fail" if asked["f"] in ("open", "read") else "ok"'
# Twelve faults, of which one makes that show: a member is away. The others are about a port that nobody uses.
HARMLESS = [{"id": f"f{n}", "kind": "partition", "from": "one", "ports": [4711], "at": 1.5 * n, "for": 1} for n in range(11)]
STOP = {"id": "away", "kind": "stop", "target": "one", "at": 8, "for": 3}
SCENARIO = {
    "name": "planted",
    "cluster": {"system": "etcd", "nodes": 3, "version": "3.5.16"},
    "workload": {"name": "set", "command": "./w", "rate": 100},
    "faults": [*HARMLESS[:5], STOP, *HARMLESS[5:]],
    "max_down": 3,
    "coverage": 0,
    "safety": ["durable", "traffic"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario and its program."""
    made = tmp_path_factory.mktemp("again")
    text = (checkout() / "docs/simulation.md").read_text()
    program = text.partition("```python\n#!")[2].partition("```")[0]
    assert SOUND in program
    (made / "w").write_text(f"#!{program.replace(SOUND, PLANTED)}")
    (made / "w").chmod(0o755)
    (made / "planted.yml").write_text(yaml.safe_dump(SCENARIO))
    return made


@pytest.fixture(scope="module")
def failed(cli: Run, folder: Path) -> list[str]:
    """The words that perform the run again which failed: the last line of what it said."""
    done = cli("run", "planted.yml", "--seed", SEED, "--name", f"t{secrets.token_hex(3)}", cwd=folder, timeout=900)
    assert 1 == done.returncode, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("perform it again: testnet replay runs/")
    return last.removeprefix("perform it again: testnet ").split()


def runs(folder: Path) -> list[dict[str, Any]]:
    """What the records say of how they were made, the oldest first."""
    paths = sorted((folder / "runs").glob("*/run.json"), key=lambda path: path.parent.name)
    return [json.loads(path.read_text()) for path in paths]


def plan(run: dict[str, Any]) -> list[tuple[float, float, list[str]]]:
    """When each fault of a run begins, how long it lasts, and in which order its nodes are taken."""
    return [(one["at"], one["lasts"], one["order"]) for one in run["faults"]]


def test_a_failure_is_repeated(cli: Run, new_name: Callable[[], str], folder: Path, failed: list[str]) -> None:
    """With its plan, and with the leader that it had; at which rate is said."""
    again = cli(*failed, "--pin", "--times", "2", "--name", new_name(), cwd=folder, timeout=900)
    assert (1, "2 of 2 failed: 2 invalid") == (again.returncode, again.stdout.splitlines()[-1]), again.stdout + again.stderr
    was, *now = runs(folder)
    assert [(was["leader"], was["seed"], plan(was))] * 2 == [(one["leader"], one["seed"], plan(one)) for one in now]


def small_after(folder: Path, name: str, faults: int) -> list[float]:
    """When runs on a testnet had ended that failed with so few faults, in seconds since the epoch, the first one first."""
    summaries = [path for path in (folder / "runs").glob(f"*-{name}-*/summary.json") if "invalid" in path.read_text()]
    of = {path: json.loads((path.parent / "run.json").read_text())["scenario"]["faults"] for path in summaries}
    return sorted(path.stat().st_mtime for path in summaries if len(of[path]) <= faults)


def test_a_failure_is_made_smaller(cli: Run, new_name: Callable[[], str], folder: Path, failed: list[str], tmp_path: Path) -> None:
    """Of twelve faults at most three are left within ten minutes, on one testnet; what is kept says what it shows, how often."""
    began, name = time.time(), new_name()
    smaller = cli("shrink", failed[1], "--to", str(tmp_path), "--name", name, cwd=folder, timeout=1500)
    took = time.time() - began
    assert 0 == smaller.returncode, smaller.stdout + smaller.stderr
    assert state.find(name) is None
    assert smaller.stdout.splitlines()[-1].startswith("run it: testnet run ")
    kept = tmp_path / f"planted-{SEED}.yml"
    found = yaml.safe_load(kept.read_text())
    assert "away" in [fault["id"] for fault in found["faults"]]
    assert len(found["faults"]) <= 3
    # Which clients write when is not in the plan: on a busy machine a run may pass, and the rate says so.
    assert re.search(
        r"^# It shows, in [23] of 3 runs: durable is invalid, acknowledged writes lost: ", kept.read_text(), re.MULTILINE
    )
    few = [line for line in smaller.stderr.splitlines() if re.search(r"\b[123] faults, .*: fails", line)]
    assert few, smaller.stderr
    first = small_after(folder, name, 3)[0] - began
    print(f"3 faults after {first:.0f} s, {len(found['faults'])} after {took:.0f} s\n{smaller.stdout}{smaller.stderr}")  # noqa: T201  (a figure)
    assert first <= 600


def test_a_failure_that_does_not_come_again(
    cli: Run, new_name: Callable[[], str], folder: Path, failed: list[str], tmp_path: Path
) -> None:
    """Once the program is mended a replay is valid, and nothing is kept of what does not fail: exit code 3."""
    bug = (folder / "w").read_text()
    (folder / "w").write_text(bug.replace(PLANTED, SOUND, 1))
    try:
        replayed = cli(*failed, "--name", new_name(), cwd=folder, timeout=900)
        smaller = cli("shrink", failed[1], "--to", str(tmp_path), "--name", new_name(), cwd=folder, timeout=900)
    finally:
        (folder / "w").write_text(bug)
    assert 0 == replayed.returncode, replayed.stdout + replayed.stderr
    assert (3, True) == (smaller.returncode, "did not fail again: nothing to go by" in smaller.stderr), smaller.stderr
    assert [] == list(tmp_path.iterdir())
