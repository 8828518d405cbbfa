"""A run that fails, performed again and made smaller on real testnets, by the commands that a user types."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scenario and its program."""
    text = (checkout() / "docs/simulation.md").read_text()
    program = text.partition("```python\n#!")[2].partition("```")[0]
    assert SOUND in program
    (tmp_path / "w").write_text(f"#!{program.replace(SOUND, PLANTED)}")
    (tmp_path / "w").chmod(0o755)
    (tmp_path / "planted.yml").write_text(yaml.safe_dump(SCENARIO))
    return tmp_path


@pytest.fixture
def kept() -> Iterator[Path]:
    """Where a smaller scenario is kept, which is removed."""
    path = checkout() / "scenarios/regressions" / f"planted-{SEED}.yml"
    there = path.parent.exists()
    yield path
    path.unlink(missing_ok=True)
    if not there and path.parent.exists():
        path.parent.rmdir()


def runs(folder: Path) -> list[dict[str, Any]]:
    """What the records say of how they were made, the oldest first."""
    paths = sorted((folder / "runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_text()) | {"folder": str(path.parent)} for path in paths]


def test_a_failure_is_repeated_and_made_smaller(cli: Run, new_name: Callable[[], str], folder: Path, kept: Path) -> None:
    """The last line of the failure repeats it, with its plan and its leader; of twelve faults at most three are left."""
    first = cli("run", "planted.yml", "--seed", SEED, "--name", new_name(), cwd=folder, timeout=600)
    assert 1 == first.returncode, first.stdout + first.stderr
    repeat = first.stdout.splitlines()[-1].removeprefix("perform it again: testnet ").split()
    assert "replay" == repeat[0]
    again = cli(*repeat, "--pin", "--times", "2", "--name", new_name(), cwd=folder, timeout=900)
    assert (1, "2 of 2 failed: 2 invalid") == (again.returncode, again.stdout.splitlines()[-1]), again.stdout + again.stderr
    was, *now = runs(folder)
    assert [was["leader"]] * 2 == [one["leader"] for one in now]
    plans = [[(one["at"], one["lasts"], one["order"]) for one in run["faults"]] for run in (was, *now)]
    assert [plans[0]] * 3 == plans
    began, name = time.monotonic(), new_name()
    smaller = cli("shrink", repeat[1], "--name", name, cwd=folder, timeout=1200)
    took = time.monotonic() - began
    assert 0 == smaller.returncode, smaller.stdout + smaller.stderr
    assert state.find(name) is None
    text = kept.read_text()
    found = yaml.safe_load(text)
    assert "away" in [fault["id"] for fault in found["faults"]]
    assert len(found["faults"]) <= 3
    assert took <= 600, smaller.stdout
    assert "# It shows, in 3 of 3 runs: durable is invalid" in text
    print(f"{len(found['faults'])} faults after {took:.0f} s\n{smaller.stdout}")  # noqa: T201


def test_a_failure_that_does_not_come_again(cli: Run, new_name: Callable[[], str], folder: Path, kept: Path) -> None:
    """Once the program is mended nothing is kept: exit code 3, and the rate is 0."""
    quick = {**SCENARIO, "faults": [{**STOP, "at": 1}]}
    (folder / "planted.yml").write_text(yaml.safe_dump(quick))
    first = cli("run", "planted.yml", "--seed", SEED, "--name", new_name(), cwd=folder, timeout=600)
    assert 1 == first.returncode, first.stdout + first.stderr
    (folder / "w").write_text((folder / "w").read_text().replace(PLANTED, SOUND, 1))
    record = runs(folder)[0]["folder"]
    replayed = cli("replay", record, "--name", new_name(), cwd=folder, timeout=600)
    assert 0 == replayed.returncode, replayed.stdout + replayed.stderr
    smaller = cli("shrink", record, "--name", new_name(), cwd=folder, timeout=600)
    assert (3, True) == (smaller.returncode, "did not fail again: nothing to go by" in smaller.stderr), (
        smaller.stdout + smaller.stderr
    )
    assert not kept.exists()
