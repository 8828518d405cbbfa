"""One operator at a time over a real cluster, from several controllers: each is a process of its own with a record of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nodewise.testnet.home import checkout
from nodewise.testnet.provision import environment
from tests.system.etcd_cluster import OLD, Cluster

STATE = "/opt/nodewise/etcd/state.json"


class Holder:
    """A run that holds the cluster until it is let go."""

    def __init__(self, cluster: Cluster, folder: Path, *, hold: bool, seconds: float = 0) -> None:
        self.run = f"run-{secrets.token_hex(3)}"
        self.hold, self.folder = folder / f"{self.run}.hold", folder / self.run
        if hold:
            self.hold.touch()
        given = {"lease_hold": str(self.hold), "lease_seconds": seconds}
        words = [str(Path(sys.executable).with_name("ansible-playbook")), "tests/system/lease.yml", "-e", json.dumps(given)]
        env = {**environment(cluster.net), "NODEWISE_RUN_DIR": str(self.folder), "NODEWISE_VIEW": "off"}
        env["ANSIBLE_STDOUT_CALLBACK"] = "default"
        self.process = subprocess.Popen(
            words,
            cwd=checkout(),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def taken(self) -> Holder:
        """Wait until it holds the cluster."""
        until, taken = time.monotonic() + 60, Path(f"{self.hold}.taken")
        while not taken.exists():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.1)
        return self

    def ended(self) -> str:
        """Let it go and wait for its end; returns what it printed."""
        self.hold.unlink(missing_ok=True)
        return self.process.communicate(timeout=100)[0]

    def killed(self) -> Holder:
        """Kill it and all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self.hold.unlink(missing_ok=True)
        return self

    def concluded(self) -> dict[str, Any]:
        """The record that says how the run ended: it was interrupted where it came to no decision; empty after a kill."""
        lines = (self.folder / "journal.jsonl").read_text().splitlines()
        return next((record for record in map(json.loads, lines) if "outcome" in record), {})


@pytest.fixture(scope="module")
def cluster(etcd: Cluster) -> Cluster:
    """Three members that all tests here share: none of them changes what runs."""
    return etcd.reset()


def states(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """What each node keeps."""
    return {name: json.loads(text) for name, text in cluster.everywhere(f"cat {STATE}").items()}


def holders(cluster: Cluster) -> set[str | None]:
    """Which runs hold nodes; None for nobody."""
    return {(state["lease"] or {}).get("run") for state in states(cluster).values()}


def change(cluster: Cluster, was: str, becomes: str) -> None:
    """Change a value in what each node keeps."""
    cluster.everywhere(f"sed -i -E 's/{was}/{becomes}/' {STATE}")


def test_two_at_once(cluster: Cluster, tmp_path: Path) -> None:
    """The second is refused and told who holds the cluster; the first goes on and gives it back."""
    first = Holder(cluster, tmp_path, hold=True).taken()
    second = Holder(cluster, tmp_path, hold=False)
    second.ended()
    assert "refused" == second.concluded()["outcome"]
    assert f"run {first.run} of " in second.concluded()["text"]
    assert f"nodewise_confirm={first.run}" in second.concluded()["text"]
    said = first.ended()
    assert first.process.returncode == 0, said
    assert {None} == holders(cluster)
    assert {1} == {state["fence"] for state in states(cluster).values()}


@pytest.mark.slow
def test_provisioning_and_wiping_are_refused_as_well(cluster: Cluster, tmp_path: Path) -> None:
    """Neither changes a cluster that somebody holds, and both say who does."""
    first = Holder(cluster, tmp_path, hold=True).taken()
    for name, given in (("provision", {"nodewise_version": OLD}), ("wipe", {"nodewise_confirm": cluster.net.name})):
        other = cluster.play(name, **given)
        assert other.code != 0
        assert f"run {first.run} of " in other.said
        assert f"nodewise_confirm={first.run}. Nothing was changed" in other.said
    assert {first.run} == holders(cluster)
    first.ended()


@pytest.mark.slow
def test_together(cluster: Cluster, tmp_path: Path) -> None:
    """Of two that begin at the same moment at most one gets the cluster, and none leaves a lease behind."""
    both = [Holder(cluster, tmp_path, hold=False) for _ in range(2)]
    said = [one.ended() for one in both]
    refused = [
        one.concluded() for one in both if one.concluded()["outcome"] != "interrupted"
    ]  # whoever has it does nothing with it
    assert all(one["outcome"] == "refused" for one in refused), said
    assert len(refused) < 2 or all("another" in one["text"] or "holds" in one["text"] for one in refused)
    assert {None} == holders(cluster)


@pytest.mark.slow
def test_a_holder_that_was_killed_here(cluster: Cluster, tmp_path: Path) -> None:
    """Whose process is known to be gone holds nothing: the next run takes the cluster at once, under a higher number."""
    dead = Holder(cluster, tmp_path, hold=True).taken().killed()
    before = states(cluster)
    assert {dead.run} == holders(cluster)
    after = Holder(cluster, tmp_path, hold=False)
    said = after.ended()
    assert after.process.returncode == 0, said
    assert all(state["fence"] > before[name]["fence"] for name, state in states(cluster).items())
    assert {None} == holders(cluster)


@pytest.mark.slow
def test_a_holder_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    """Of a holder on another machine nothing is known: refused until the lease has expired, then granted."""
    dead = Holder(cluster, tmp_path, hold=True).taken().killed()
    change(cluster, '"boot": "[^"]*"', '"boot": "another"')
    refused = Holder(cluster, tmp_path, hold=False)
    refused.ended()
    assert f"run {dead.run} of " in refused.concluded()["text"]
    change(cluster, '"expires": [0-9.]+', '"expires": 1.0')
    granted = Holder(cluster, tmp_path, hold=False)
    said = granted.ended()
    assert granted.process.returncode == 0, said


@pytest.mark.parametrize("seconds", [0, pytest.param(1000, marks=pytest.mark.slow)], ids=["a change of its own", "keeping it"])
def test_break_glass(cluster: Cluster, tmp_path: Path, seconds: float) -> None:
    """Without the holder's name nothing is changed; with it the cluster is free, and whatever the old holder tries is refused."""
    old = Holder(cluster, tmp_path, hold=True, seconds=seconds).taken()
    for confirm in ("", "run-of-nobody"):
        shown = cluster.play("unlock", nodewise_confirm=confirm)
        assert shown.code != 0
        assert f"run {old.run} of " in shown.said
        assert {old.run} == holders(cluster)
    broken = cluster.play("unlock", nodewise_confirm=old.run)
    assert broken.code == 0, broken.said
    assert {None} == holders(cluster)
    said = old.ended()
    assert "fenced: nobody holds" in (old.concluded()["text"] if seconds else said)
    assert ("paused" if seconds else "interrupted") == old.concluded()["outcome"]
    assert cluster.play("unlock").code == 0
