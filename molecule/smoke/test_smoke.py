"""What suites found is in the record on the controller, and nothing of them is left on the node."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host


def found(records: list[Path], suite: str) -> list[Path]:
    """The folders of a suite in the records of all runs that ran it."""
    return [record / "smoke" / suite for record in records if (record / "smoke" / suite).exists()]


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """The result of each script."""
    return {one["script"]: one for one in json.loads((folder / "results.json").read_text())["results"]}


def test_each_script_of_the_tier_has_a_result(records: list[Path]) -> None:
    """Those of a later tier are left out, and a skip is no pass."""
    expected = {"10-passes": "pass", "20-skips": "skip", "30-cases": "pass", "40-basic": "pass"}
    assert expected == {name: one["status"] for name, one in results(found(records, "good")[-1]).items()}


def test_what_a_script_said_is_kept(records: list[Path], host: Host) -> None:
    """Its output is in the record, by host."""
    name = host.check_output("hostname")
    assert f"on {name}\n" == (found(records, "good")[-1] / name / "10-passes.out").read_text()


def test_a_script_that_fails_is_told(records: list[Path]) -> None:
    """With its exit code, and with what it left in the background."""
    told = results(found(records, "bad")[-1])["10-fails"]
    assert ("fail", "exit code 1, expected 0") == (told["status"], told["reason"])
    assert re.fullmatch(r"it left \S+ running; ended", *told["notes"])


def test_check_mode_ran_nothing(records: list[Path], host: Host) -> None:
    """The script was run as often as there are records of it; the other records are of the bad suite, and of check mode."""
    assert len(found(records, "good")) == len(host.file("/run/molecule-smoke").content_string.splitlines())
    ends = [json.loads((record / "summary.json").read_text()) for record in records if (record / "summary.json").exists()]
    assert ["passed", "failed"] * len(found(records, "good")) == [end["outcome"] for end in ends if end["outcome"] != "planned"]


@pytest.mark.parametrize("line", ["pgrep -fx 'sleep 86397'", "ls -d /var/tmp/nodewise-smoke-*", "ls -d /tmp/nodewise-smoke-*"])
def test_nothing_is_left_on_the_node(host: Host, line: str) -> None:
    """No process and no folder."""
    assert "" == host.run(line).stdout
