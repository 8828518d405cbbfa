"""Faults of a whole cluster, on a real one: what no host holds, and what is found again when the controller died."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nodewise.simulation.faults.act import Act
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.registry import read
from nodewise.simulation.harness import clients_of
from nodewise.simulation.hosts import scene_of
from nodewise.simulation.workloads.data import verify_data
from tests.conftest import Run
from tests.system.etcd_cluster import Cluster

LEASE = 4711
# A controller that has the cluster take a member, and then is no more.
CONTROLLER = """import os, signal, sys
from pathlib import Path
from nodewise.simulation.faults import act
from nodewise.simulation.faults.registry import read
from nodewise.simulation.harness import clients_of
from nodewise.simulation.hosts import scene_of
from nodewise.testnet.state import load
net = load(sys.argv[1])
act.Act(read({"id": "it", "kind": "member_add"}), scene_of(net, clients_of(net)), Path(sys.argv[2])).begin(6)
os.kill(os.getpid(), signal.SIGKILL)"""


@pytest.fixture
def scene(etcd: Cluster) -> Scene:
    """Three members."""
    etcd.reset()
    return scene_of(etcd.net, clients_of(etcd.net))


@pytest.mark.slow
def test_leases_are_revoked(etcd: Cluster, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was attached to one is gone with it; where there is none nothing is proved."""
    monkeypatch.setattr("nodewise.simulation.faults.act.PROVING", 0.5)
    with closing(clients_of(etcd.net)(etcd.names[0])) as client:
        client.open()
        client.grant(LEASE, 600)  # type: ignore[attr-defined]
        client.put({"/held": "1"}, lease=LEASE)  # type: ignore[attr-defined]
        act = Act(read({"id": "it", "kind": "lease_revoke"}), scene, tmp_path / "journal.jsonl")
        assert "1 of 1 leases are gone" == act.begin(1)
        assert "1 of 1 leases are gone" == act.end()
        assert client.get("/held") is None  # type: ignore[attr-defined]
        assert [] == verify_data(clients_of(etcd.net)(etcd.names[0]), etcd.data)
    again = Act(read({"id": "it", "kind": "lease_revoke"}), scene, tmp_path / "journal.jsonl")
    with pytest.raises(NotProved, match="the cluster had no lease"):
        again.begin(1)


@pytest.mark.slow
@pytest.mark.parametrize("learner", [False, True])
def test_a_member_that_nobody_starts(etcd: Cluster, scene: Scene, tmp_path: Path, learner: bool) -> None:
    """It is listed by etcd itself while the fault lasts, and writes go on."""
    act = Act(read({"id": "it", "kind": "member_add", "learner": learner}), scene, tmp_path / "journal.jsonl")
    act.begin(5)
    listed = etcd.etcdctl(etcd.names[0], "member list")
    assert 4 == len(listed.splitlines())
    assert f"https://nodewise-it.invalid:2380, , {str(learner).lower()}" in listed
    etcd.takes_writes(etcd.names[0])
    act.end()
    assert "invalid" not in etcd.etcdctl(etcd.names[0], "member list")


@pytest.mark.slow
def test_a_controller_that_was_killed(etcd: Cluster, scene: Scene, tmp_path: Path, cli: Run) -> None:  # noqa: ARG001 (reset)
    """The member stays, and `testnet heal` removes it."""
    words = [sys.executable, "-c", CONTROLLER, etcd.net.name, str(tmp_path / "journal.jsonl")]
    assert -9 == subprocess.run(words, check=False).returncode
    assert "https://nodewise-it.invalid:2380" in etcd.etcdctl(etcd.names[0], "member list")
    healed = cli("heal", "--name", etcd.net.name)
    assert (0, f"{etcd.names[0]}: it healed\n") == (healed.returncode, healed.stdout)
    assert "invalid" not in etcd.etcdctl(etcd.names[0], "member list")
    assert "no node holds a fault\n" == cli("heal", "--name", etcd.net.name).stdout
