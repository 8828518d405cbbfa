"""PostgreSQL under load as a user rehearses it: a minor, and Patroni itself; and what a scenario that does not fit says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.system import traces
from tests.system.cluster import read
from tests.system.postgresql_cluster import NEW, OLD, PATRONI_NEW, PATRONI_OLD

Run = Callable[..., subprocess.CompletedProcess[str]]
NewName = Callable[[], str]


def rehearsed(cli: Run, scenario: str, name: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """The summary and the record of a rehearsal that kept every promise. Skips where the nodes are not offered both versions."""
    done = cli("run", scenario, "--name", name, cwd=folder, timeout=1800)
    said = done.stdout + done.stderr
    if done.returncode == 4 and "offered" in said:
        pytest.skip(said.strip().splitlines()[-1])
    assert 0 == done.returncode, said
    assert "Traceback" not in said
    (record,) = (path for path in (folder / "runs").iterdir() if path.is_dir())
    return json.loads((record / "summary.json").read_text()), record


def judged(summary: dict[str, Any], outcome: str = "upgraded") -> None:
    """Nothing was lost, nothing is there twice, and enough happened to say so."""
    assert (outcome, "valid", 0) == (summary["outcome"], summary["verdict"], summary["workload"]["lost"])
    assert {"durable", "once", "no_phantom", "monotonic", "linearizable", "traffic", "data"} == {
        one["checker"] for one in summary["checkers"]
    }
    assert summary["workload"]["ok"] > 100


@pytest.mark.slow
def test_a_minor(cli: Run, new_name: NewName, testnet_home: Path, tmp_path: Path) -> None:
    """Replicas first, the primary last; its successor is one that was upgraded; each server of a replica was restarted once."""
    name = new_name()
    summary, record = rehearsed(cli, "postgresql-minor", name, tmp_path)
    judged(summary)
    assert (OLD, NEW) == (summary["from"], summary["to"])
    journal = read(record)
    order = [one["node"] for one in journal if one.get("step") == "switch" and one["phase"] == "begin"]
    seen = [one["observation"] for one in journal if one["kind"] == "observe"]
    assert seen[0]["cluster"]["leader"] == order[-1]
    assert seen[-1]["cluster"]["leader"] in order[:-1]
    assert {NEW} == {member["version"] for member in seen[-1]["members"]}
    timelines = [one["cluster"]["details"]["timeline"] for one in (seen[0], seen[-1])]
    assert timelines[0] + 1 == timelines[1]
    starts = {
        node: {m["started_at"] for one in seen for m in one["members"] if m["name"] == node and m["started_at"]} for node in order
    }
    assert [2, 2] == [len(starts[node]) for node in order[:-1]], starts
    assert traces.Traces() == traces.of(name, testnet_home)


@pytest.mark.slow
def test_patroni(cli: Run, new_name: NewName, tmp_path: Path) -> None:
    """Patroni goes to its next major, the same member leads on the same timeline, and no server of PostgreSQL was restarted."""
    summary, record = rehearsed(cli, "patroni", new_name(), tmp_path)
    judged(summary)
    assert (PATRONI_OLD, PATRONI_NEW) == (summary["from"], summary["to"])
    seen = [one["observation"] for one in read(record) if one["kind"] == "observe"]
    assert {PATRONI_NEW} == {member["version"] for member in seen[-1]["members"]}
    assert 1 == len({(one["cluster"]["leader"], one["cluster"]["details"]["timeline"]) for one in seen})
    assert 3 == len({(m["name"], m["started_at"]) for one in seen for m in one["members"] if m["started_at"]})


def test_a_target_that_there_is_not(cli: Run, new_name: NewName, tmp_path: Path) -> None:
    """A scenario that goes to no known release is refused before a testnet is made, with those that are known."""
    scenario = {"name": "none", "cluster": {"system": "etcd", "nodes": 1, "version": "3.4.23"}, "upgrade": {"to": "3.4.99"}}
    (tmp_path / "none.yml").write_text(yaml.safe_dump(scenario))
    done = cli("run", "none.yml", "--name", new_name(), cwd=tmp_path)
    assert 2 == done.returncode, done.stdout + done.stderr
    assert "no release '3.4.99' of etcd; known: 3.3.25, 3.4.23" in done.stderr
    assert [] == [path for path in tmp_path.iterdir() if path.name != "none.yml"]
