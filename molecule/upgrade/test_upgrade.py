"""What an upgrade left on its nodes and in its record; check mode made its plan, and a second run had nothing to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from nodewise.record import journal

ROOT = "/opt/nodewise/etcd"


def summary(record: Path) -> dict[str, Any]:
    """How a run ended."""
    return dict(json.loads((record / "summary.json").read_text()))


@pytest.fixture
def upgraded(records: list[Path]) -> Path:
    """The record of the run that upgraded."""
    return next(record for record in records if summary(record)["outcome"] == "upgraded")


def test_the_member_runs_the_new_version(host: Host) -> None:
    """The process runs from it, the link leads to it, and the old one is there to go back to."""
    process = host.process.get(comm="etcd")
    assert host.check_output(f"readlink /proc/{process.pid}/exe").startswith(f"{ROOT}/releases/3.5.16/")
    assert f"{ROOT}/releases/3.5.16" == host.file(f"{ROOT}/current").linked_to
    assert {"3.4.23", "3.5.16"} == set(host.file(f"{ROOT}/releases").listdir())


def test_the_member_was_restarted_once(host: Host) -> None:
    """Neither check mode nor a second run stopped it."""
    started = "journalctl --quiet --output=cat --unit=etcd MESSAGE_ID=39f53479d3a045ac8e11786248231fbf"
    assert 2 == len(host.check_output(started).splitlines())


def test_the_node_remembers_and_is_given_back(host: Host) -> None:
    """From what it keeps another controller can go back, and nobody holds it."""
    state = json.loads(host.file(f"{ROOT}/state.json").content_string)
    assert (None, "upgraded", "3.5.16") == (state["lease"], state["upgrade"]["outcome"], state["upgrade"]["to"])


def test_check_mode_plans_and_a_second_run_ends_unchanged(records: list[Path]) -> None:
    """Plans, one upgrade, and nothing to do after it, in this order."""
    ends = " ".join(summary(record)["outcome"] for record in records)
    assert re.fullmatch(r"(planned )*upgraded( unchanged)*", ends)


def test_the_plan_of_check_mode_is_the_one_that_was_carried_out(records: list[Path], upgraded: Path) -> None:
    """They have one hash."""
    planned = {summary(record)["plan"] for record in records if summary(record)["outcome"] == "planned"}
    assert {summary(upgraded)["plan"]} == planned


def test_one_node_after_the_other_the_leader_last(upgraded: Path) -> None:
    """No node begins before the one before it has ended its batch; the one that handed leadership over is the last."""
    batches = [record["nodes"] for record in journal.read(upgraded / "journal.jsonl") if "batch" in record]
    drained = [r["node"] for r in journal.read(upgraded / "journal.jsonl") if r.get("step") == "drain" and r["phase"] == "begin"]
    assert ([1, 1, 1], drained) == ([len(nodes) for nodes in batches], batches[-1])


def test_a_backup_is_off_the_nodes(upgraded: Path) -> None:
    """It was taken before the first change, and is not empty."""
    assert all(path.stat().st_size for path in (upgraded / "backup").iterdir())
    assert 1 == len(list((upgraded / "backup").glob("*.db")))
