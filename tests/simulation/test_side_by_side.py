"""Old and new members of a service side by side on one schema, under load: what one does to the other is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.simulation.side_by_side import ADD, DROP, scenario

pytestmark = pytest.mark.slow
IGNORED = "-- squawk-ignore ban-drop-column\n"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, ""),
        ({"expand": "select 1;\n", "contract": ADD + DROP}, "write through NAME-n1 failed"),
        ({"expand": ADD + IGNORED + DROP, "contract": "select 1;\n"}, "write through NAME-n"),
        ({"left": "-n3"}, "write through NAME-n3 failed"),
    ],
    ids=[
        "nothing is wrong",
        "new code needs the column before expand adds it",
        "old code breaks after expand",
        "contract breaks a member that is left behind",
    ],
)
def test_a_rehearsal(wrong: dict[str, Any], says: str, tmp_path: Path, new_name: Callable[[], str], cli: Run) -> None:
    """Every gate of the upgrade holds, as health and versions are good; the rehearsal says who did nothing for clients."""
    name = new_name()
    done = cli("run", str(scenario(tmp_path, **wrong)), "--name", name, "--seed", "4711", cwd=tmp_path, timeout=900)
    (file,) = tmp_path.glob("runs/*/summary.json")
    summary, said = json.loads(file.read_text()), done.stdout + done.stderr
    found = {one["checker"]: one for one in summary["checkers"]}
    assert "upgraded" == summary["outcome"], said
    if wrong:
        assert (1, "invalid") == (done.returncode, found["answered"]["verdict"]), said
        assert says.replace("NAME", name) in found["answered"]["says"]
    else:
        assert (0, "valid") == (done.returncode, summary["verdict"]), said
