"""The molecule scenarios of the roles, each as one test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SCENARIOS = sorted(path.parent.name for path in (CHECKOUT / "molecule").glob("*/molecule.yml"))


def test_there_are_scenarios() -> None:
    """A folder that was moved away does not pass for one whose scenarios passed."""
    assert "etcd" in SCENARIOS


@pytest.mark.parametrize("scenario", [pytest.param(name, marks=pytest.mark.slow) for name in SCENARIOS])
def test_the_scenario_passes(scenario: str, tmp_path: Path) -> None:
    """Made from nothing, converged, converged again without a change, verified, removed."""
    programs = Path(sys.executable).parent
    ours = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(CHECKOUT / ".cache/ansible"),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path),
        "NO_COLOR": "1",
    }
    command = [str(programs / "molecule"), "test", "-s", scenario]
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **ours},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    # molecule passes over a playbook that is not there with a warning only
    for action in ("converge", "idempotence", "verify", "destroy"):
        assert f"{scenario} > {action}: Executed: Successful" in said, said[-6000:]
