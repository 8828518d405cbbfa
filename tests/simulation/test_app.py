"""A service of one's own in a rehearsal: what its clients were promised is judged as for any system."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Run
from tests.simulation.keeping import described


def rehearsed(folder: Path, name: str, cli: Run, **change: str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, output and summary of an upgrade of the service under load."""
    (folder / "values.yml").write_text(yaml.safe_dump(described(folder, **change)))
    scenario = {
        "name": "values",
        "cluster": {"system": "app", "nodes": 1, "vars": "values.yml"},
        "upgrade": {"to": "1.1.0"},
        "workload": {"clients": 3, "keys": 10, "rate": 60},
    }
    (folder / "values-scenario.yml").write_text(yaml.safe_dump(scenario))
    words = ("run", str(folder / "values-scenario.yml"), "--name", name, "--seed", "4711")
    done = cli(*words, cwd=folder, timeout=900)
    (summary,) = folder.glob("runs/*/summary.json")
    return done.returncode, done.stdout + done.stderr, json.loads(summary.read_text())


@pytest.mark.slow
def test_a_service_that_keeps_its_promises(tmp_path: Path, new_name: Callable[[], str], cli: Run) -> None:
    """Its only member is restarted with the new version: clients wait, and nothing that was acknowledged is lost."""
    code, said, summary = rehearsed(tmp_path, new_name(), cli)
    assert (0, "valid", "upgraded") == (code, summary["verdict"], summary["outcome"]), said
    assert 0 == summary["workload"]["lost"]
    assert {"durable", "linearizable", "data"} <= {one["checker"] for one in summary["checkers"]}


@pytest.mark.slow
def test_a_release_that_drops_writes(tmp_path: Path, new_name: Callable[[], str], cli: Run) -> None:
    """Its upgrade ends well, its health is good, and one write in 50 is lost: the rehearsal says so."""
    code, said, summary = rehearsed(tmp_path, new_name(), cli, FORGETS="50")
    assert (1, "invalid", "upgraded") == (code, summary["verdict"], summary["outcome"]), said
    assert "linearizable" in [one["checker"] for one in summary["checkers"] if one["verdict"] == "invalid"], said
