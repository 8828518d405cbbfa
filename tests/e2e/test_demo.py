"""The demo as a user types it: a cluster under load is upgraded and judged; the judge can fail, and Ctrl-C leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.system import traces
from tests.system.etcd_cluster import NEW, OLD, Cluster, read

from nodewise.cli.rehearse import rehearse
from nodewise.simulation import harness, scenario
from nodewise.simulation.workloads.history import read_history
from nodewise.testnet import state

Run = Callable[..., subprocess.CompletedProcess[str]]
NewName = Callable[[], str]


def record_of(folder: Path) -> Path:
    """The record of the only run that was made in a folder."""
    (record,) = (path for path in (folder / "runs").iterdir() if path.is_dir())
    return record


def test_the_demo(cli: Run, new_name: NewName, testnet_home: Path, tmp_path: Path) -> None:
    """Every member is upgraded once, the leader last, no acknowledged write is lost, and nothing but the record stays."""
    name = new_name()
    done = cli("run", "rolling-upgrade", "--name", name, cwd=tmp_path)
    record = record_of(tmp_path)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    _judge_summary(json.loads((record / "summary.json").read_text()), name)
    _judge_journal(read(record))
    _judge_record(record)
    assert "acknowledged writes lost: 0" in done.stdout
    assert f"record {record.relative_to(tmp_path)}" in done.stdout
    assert traces.Traces() == traces.of(name, testnet_home)
    assert 0 == subprocess.run([Path(sys.executable).with_name("nodewise"), "check", record], check=False).returncode


def _judge_summary(summary: dict[str, Any], name: str) -> None:
    assert ("upgraded", "valid", OLD, NEW) == tuple(summary[key] for key in ("outcome", "verdict", "from", "to"))
    assert {f"{name}-n{number}": (NEW, True) for number in (1, 2, 3)} == {
        member: (node["version"], node["serving"]) for member, node in summary["nodes"].items()
    }
    assert 0 == summary["gates"]["failed"] < summary["gates"]["passed"]
    assert (0, 0) == (summary["workload"]["lost"], summary["workload"]["failed"])
    assert summary["workload"]["ok"] > 100


def _judge_journal(journal: list[dict[str, Any]]) -> None:
    """Followers before the leader; each process was restarted once, and the cluster moved with the last one."""
    seen = [record["observation"] for record in journal if record["kind"] == "observe"]
    order = [record["node"] for record in journal if record.get("step") == "switch" and record["phase"] == "begin"]
    assert sorted(member["name"] for member in seen[0]["members"]) == sorted(order)
    assert seen[0]["cluster"]["leader"] == order[-1]
    processes = {(m["name"], m["started_at"]) for one in seen for m in one["members"] if m["started_at"]}
    assert 2 * len(order) == len(processes)
    assert ("3.4", "3.5") == (seen[0]["cluster"]["version"], seen[-1]["cluster"]["version"])


def _judge_record(record: Path) -> None:
    """Everything needed to judge it again is there, and no secret is."""
    names = {path.name for path in record.iterdir()}
    assert {
        "run.json",
        "plan.yaml",
        "journal.jsonl",
        "history.jsonl",
        "summary.json",
        "junit.xml",
        "ansible.log",
        "backup",
        "collected",
        "observed",
    } == names
    (backup,) = (record / "backup").iterdir()
    assert backup.stat().st_size > 1_000_000  # the data set has 2 MiB in large values alone
    about = json.loads((record / "run.json").read_text())
    assert {"seed", "image", "inventory", "commit", "command", "nodewise", "ansible_core", "python"} <= about.keys()
    assert [] == [path for path in record.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]


IDLE = {
    "name": "idle",
    "cluster": {"system": "etcd", "nodes": 1, "version": NEW},
}  # nothing is upgraded: the workload alone is judged


@pytest.mark.slow
def test_a_cluster_that_is_at_work_without_an_upgrade(cli: Run, new_name: NewName, tmp_path: Path) -> None:
    """A scenario need not upgrade anything: then the workload alone is judged."""
    (tmp_path / "idle.yml").write_text(yaml.safe_dump(IDLE))
    done = cli("run", "idle.yml", "--name", new_name(), cwd=tmp_path)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "acknowledged writes lost: 0" in done.stdout


def test_the_judge_can_fail(
    new_name: NewName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An acknowledged key is deleted behind the run's back: lost is 1, the key is named, the exit code is 1."""
    name, honest, deleted = new_name(), harness.final_reads, []

    def robbed(factory: Any, nodes: Any, history: Any, *more: Any) -> None:
        acknowledged = [o.key for o in read_history(history.path) if (o.f, o.type) == ("write", "ok")]
        deleted.append(acknowledged[-1])
        assert "1" == Cluster(state.load(name), tmp_path).etcdctl(nodes[0], f"del {deleted[0]}")
        honest(factory, nodes, history, *more)

    (tmp_path / "idle.yml").write_text(yaml.safe_dump(IDLE))
    monkeypatch.setattr(harness, "final_reads", robbed)
    monkeypatch.chdir(tmp_path)
    assert 1 == rehearse(scenario.load("idle.yml"), keep=False, name=name, seed=None)
    summary = json.loads((record_of(tmp_path) / "summary.json").read_text())
    assert ("invalid", 1) == (summary["verdict"], summary["workload"]["lost"])
    assert "acknowledged writes lost: 1" in (said := capsys.readouterr().out)
    assert deleted[0] in said


def test_ctrl_c(new_name: NewName, testnet_home: Path, tmp_path: Path) -> None:
    """In the middle of the roll: one line, no summary, and nothing of the testnet nor of the playbook is left."""
    name = new_name()
    command = [str(Path(sys.executable).with_name("testnet")), "run", "rolling-upgrade", "--name", name]
    pipe = subprocess.PIPE
    running = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    deadline = time.monotonic() + 150
    while not any(one.get("step") == "switch" for folder in (tmp_path / "runs").glob("*") for one in read(folder)):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    had = traces.had(state.load(name))
    os.killpg(running.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches the whole group
    out, err = running.communicate(timeout=60)
    assert (130, "interrupted\n") == (running.returncode, err)
    assert "Traceback" not in out
    assert traces.Traces() == traces.of(name, testnet_home, had)
    record = record_of(tmp_path)
    assert not (record / "summary.json").exists()
    assert [] == [line for line in traces.output("ps", "-eo", "args").splitlines() if str(record) in line]
