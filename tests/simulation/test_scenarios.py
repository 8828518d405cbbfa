"""The scenarios that come with Nodewise, as a user types them: each fault proved and healed, and every promise kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodewise.record import journal
from nodewise.simulation import scenario
from nodewise.testnet import state
from nodewise.testnet.home import checkout
from tests.conftest import COMMAND, Run

SEED = os.environ.get("NODEWISE_SEED", "4711")
NewName = Callable[[], str]


def faults_of(name: str) -> list[str]:
    """The ids of a scenario's faults, in their order."""
    given = yaml.safe_load((checkout() / "scenarios" / f"{name}.yml").read_text())
    return [fault["id"] for fault in given.get("faults", [])]


def upgrade_of(name: str) -> scenario.UpgradeSpec | None:
    """The upgrade in a scenario."""
    return scenario.load(name).upgrade


NAMES = sorted(path.stem for path in (checkout() / "scenarios").glob("*.yml"))
DISTURBED = [name for name in NAMES if faults_of(name) or ((upgrade := upgrade_of(name)) and upgrade.then)]


def judged(folder: Path, faults: list[str]) -> dict[str, Any]:
    """The summary of the only run in a folder, whose faults all went from asked to healed."""
    (record,) = (path for path in (folder / "runs").iterdir() if path.is_dir())
    seen: dict[str, list[str]] = {fault: [] for fault in faults}
    for one in journal.read(record / "journal.jsonl"):
        if one["kind"] == "fault":
            seen[one["fault"]].append(one["state"])
    assert [["asked", "in_effect", "healing", "healed"]] * len(faults) == list(seen.values())
    summary = dict(json.loads((record / "summary.json").read_text()))
    assert "valid" == summary["verdict"], summary["checkers"]
    assert 0 == summary["workload"]["lost"]
    expected = {"traffic", *(("progress", "coverage") if faults else ())}
    assert expected <= {one["checker"] for one in summary["checkers"]}
    states = [path.read_text() for path in (record / "collected").glob("*-state.txt")]
    assert len(states) == json.loads((record / "run.json").read_text())["scenario"]["cluster"]["nodes"]
    assert all("== systemctl --failed" in state and "== journalctl" in state for state in states)
    return summary


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in DISTURBED])
def test_a_scenario(cli: Run, new_name: NewName, tmp_path: Path, name: str) -> None:
    """It is judged valid, with the fixed seed, and nothing of its testnet is left."""
    net = new_name()
    done = cli("run", name, "--name", net, "--seed", SEED, cwd=tmp_path, timeout=600)
    assert 0 == done.returncode, done.stdout + done.stderr
    upgrade = upgrade_of(name)
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
def test_words_that_are_refused(cli: Run, tmp_path: Path, words: list[str], says: str) -> None:
    """In a line or two, with exit code 2, and nothing is made."""
    done = cli(*words, cwd=tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert says in done.stderr
    assert not list(tmp_path.iterdir())


MINE = "name: mine\ncluster: {{system: etcd, nodes: 3, version: 3.5.16}}\n{}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("faults: [{id: a, kind: partiton}]", "no fault 'partiton' (did you mean partition?)"),
        ("faults: [{id: a, kind: kill, target: leadr}]", "no target 'leadr' (did you mean leader?)"),
        ("faults: [{id: a, kind: kill, for: -3s}]", "'-3s' is no time: expected such as 8, 8s, 200ms or 8..15s"),
        ("faults: [{id: a, kind: kill, target: majority}]", "may take away 2 of 3 members at once; max_down allows 1"),
        ("faults: [{id: a, kind: clock}]", "a: etcd is a Go program, which takes the time from the kernel"),
        ("faults: [{id: a, kind: kill}]\nmax_down: 0", "may take away 1 of 3 members at once; max_down allows 0"),
        ("faults: [{id: a, kind: kill, step: switch}]", "a waits for step switch, and the scenario has no upgrade"),
        ("faults: [{id: a, kind: kill, step: linger}]\nupgrade: {to: 3.5.30}", "a waits for step linger, and the scenario has no"),
        ("fault: []", "unknown field `fault` (did you mean faults?)"),
        ("progress: {within: -1}", "Expected `float` >= 0.0 - at `$.progress.within`"),
        ("upgrade: {to: 9.9.9}", "no release '9.9.9' of etcd; known: 3.3.25, "),
        ("faults: [{id: a, kind: kill, taget: one}]", "unknown field `taget` (did you mean target?)"),
        ("workload: {name: regster}", "no workload 'regster' (did you mean register?)"),
        ("workload: {name: bank}", "etcd has no balances, deposit, transfer, which workload bank asks for"),
        ("workload: {command: ./w}", "workload command ./w: no program that can be run is there"),
        ("safety: [durabel]", "no checker 'durabel' (did you mean durable?)"),
        ("name: {", "is no YAML"),
    ],
)
def test_a_scenario_that_is_refused(cli: Run, tmp_path: Path, text: str, says: str) -> None:
    """In a line or two, with exit code 2, and nothing is made, not even a record."""
    (tmp_path / "mine.yml").write_text(MINE.format(text))
    done = cli("run", "mine.yml", cwd=tmp_path)
    assert (2, "") == (done.returncode, done.stdout), done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert ["mine.yml"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--system", "ectd"], "no workload client for system 'ectd' (did you mean etcd?)"),
        (["--nodes", "0"], "0 nodes: expected 1 to"),
        (["--name", "No"], "'No' is not a testnet name"),
    ],
)
def test_a_cluster_that_is_refused(cli: Run, tmp_path: Path, words: list[str], says: str) -> None:
    """In a line or two, with exit code 2, and nothing is made."""
    (tmp_path / "mine.yml").write_text(MINE.format(""))
    done = cli("run", "mine.yml", *words, cwd=tmp_path)
    assert (2, "") == (done.returncode, done.stdout), done.stderr
    assert says in done.stderr
    assert ["mine.yml"] == [path.name for path in tmp_path.iterdir()]


def test_a_testnet_that_is_in_use(cli: Run, pair: state.Testnet, tmp_path: Path) -> None:
    """Its name is taken: nothing of it is touched, and no record is made."""
    done = cli("run", "leader-isolated", "--name", pair.name, cwd=tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert f"a testnet named {pair.name} exists (2 nodes); choose another name with --name" in done.stderr
    assert not list(tmp_path.iterdir())
    assert "up" == state.load(pair.name).status


@pytest.mark.slow
def test_ctrl_c(new_name: NewName, tmp_path: Path) -> None:
    """What is in effect is healed, state and logs of the nodes are kept, and the testnet is gone."""
    net = new_name()
    (tmp_path / "mine.yml").write_text(MINE.format("faults: [{id: still, kind: pause, target: one, for: 300}]"))
    command = [*COMMAND, "run", "mine.yml", "--name", net]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "still (pause) is in effect" in line:
                process.send_signal(signal.SIGINT)
        assert 130 == process.wait(120), said
    (record,) = (tmp_path / "runs").iterdir()
    assert "healed" == [one["state"] for one in journal.read(record / "journal.jsonl") if one["kind"] == "fault"][-1]
    assert 3 == len([path for path in (record / "collected").iterdir() if "== journalctl" in path.read_text()])
    assert state.find(net) is None


@pytest.mark.slow
def test_a_timeout(cli: Run, new_name: NewName, tmp_path: Path) -> None:
    """It is said, with exit code 3; state and logs of the nodes are kept, and the testnet is gone."""
    net = new_name()
    (tmp_path / "mine.yml").write_text(MINE.format("faults: [{id: still, kind: pause, target: one, for: 300}]\ntimeout: 20"))
    done = cli("run", "mine.yml", "--name", net, cwd=tmp_path)
    assert 3 == done.returncode, done.stdout + done.stderr
    assert "error: not over after 20 s, and ended; look into" in done.stderr
    (record,) = (tmp_path / "runs").iterdir()
    assert 3 == len([path for path in (record / "collected").iterdir() if "== journalctl" in path.read_text()])
    assert state.find(net) is None


@pytest.mark.slow
def test_a_fault_that_these_hosts_cannot_do(cli: Run, new_name: NewName, tmp_path: Path) -> None:
    """Exit code 2, before anything is disturbed, and no verdict: the service of a fault is not there."""
    net = new_name()
    (tmp_path / "mine.yml").write_text(MINE.format("faults: [{id: a, kind: kill, unit: nowhere}]"))
    done = cli("run", "mine.yml", "--name", net, cwd=tmp_path)
    assert 2 == done.returncode, done.stdout + done.stderr
    assert f"error: a: {net}-n1 cannot do this: there is no unit nowhere\n" == done.stderr
    assert state.find(net) is None
    (record,) = (tmp_path / "runs").iterdir()
    assert not (record / "summary.json").exists()


@pytest.mark.slow
def test_two_at_once(cli: Run, new_name: NewName, tmp_path: Path) -> None:
    """On testnets of their own they judge as each does alone: each sees its own fault, and only that."""
    names = ["leader-isolated", "rolling-crash"]
    folders = [tmp_path / name for name in names]
    for folder in folders:
        folder.mkdir()
    nets = [new_name() for _ in names]
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(cli, "run", name, "--name", net, "--seed", SEED, cwd=folder, timeout=900)
            for name, net, folder in zip(names, nets, folders, strict=True)
        ]
    for name, done, folder in zip(names, runs, folders, strict=True):
        assert 0 == done.result().returncode, done.result().stdout + done.result().stderr
        assert "passed" == judged(folder, faults_of(name))["outcome"]
