"""Upgrades that go wrong on a real cluster: bad releases, and a controller that dies. The tests share a cluster and go in order."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nodewise.testnet.state import checkout
from tests.system.cluster import NEW, OLD, Cluster, Ended, descendants, made, read
from tests.system.tarballs import Shop, opened, programs

DIES = b"#!/bin/sh\necho 'error: flag provided but not defined' >&2\nexit 2\n"
HANGS = b"#!/bin/sh\nexec sleep 1000\n"
PID = "systemctl show -P MainPID etcd"
RUNS = f"readlink /proc/$({PID})/exe"


@pytest.fixture(scope="module")
def cluster(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001  (in that home)
    """Three members that survive what is done to them."""
    with made(tmp_path_factory.mktemp("runs")) as three:
        yield three


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A web server with tarballs."""
    with opened(cluster.net, tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The real programs of the target."""
    return programs(NEW, tmp_path_factory.mktemp("programs"))


def put_back(cluster: Cluster, ended: Ended, before: dict[str, int]) -> str:
    """The run ended with its node back on the old version, the others never touched, all of it healthy. Returns the reason."""
    assert ("rolled_back", 2) == (ended.outcome, ended.code), ended.said
    (node,) = {record["node"] for record in ended.journal("step", "begin") if record["step"] == "switch"}
    now = cluster.starts()
    assert {name: before[name] for name in cluster.names if name != node} == {
        name: now[name] for name in cluster.names if name != node
    }
    assert {OLD} == cluster.versions()
    assert f"{node}: " in ended.summary["reason"]
    assert f"It is back on {OLD} and the cluster is healthy" in ended.said
    assert 0 == cluster.play("status").code
    assert cluster.data_whole()
    assert "Started etcd" in (ended.folder / "collected" / f"{node}.txt").read_text()
    return str(ended.summary["reason"])


def test_a_release_that_does_not_start(cluster: Cluster, shop: Shop, real: dict[str, bytes]) -> None:
    """Its last words are the evidence, and the node in hand is back on the old version."""
    before = cluster.starts()
    ended = cluster.upgrade(nodewise_releases=shop.offer(NEW, {**real, "etcd": DIES}))
    assert "flag provided but not defined" in put_back(cluster, ended, before)


def test_a_release_that_never_gets_ready(cluster: Cluster, shop: Shop, real: dict[str, bytes]) -> None:
    """It is given nodewise_deadline seconds, then the node goes back."""
    before = cluster.starts()
    ended = cluster.upgrade(nodewise_releases=shop.offer(NEW, {**real, "etcd": HANGS}), nodewise_deadline=10)
    assert "did not start: it was activating" in put_back(cluster, ended, before)


def test_a_release_that_is_another(cluster: Cluster, shop: Shop, real: dict[str, bytes]) -> None:
    """A healthy process that says another version than was put there is not the target, and goes."""
    before = cluster.starts()
    ended = cluster.upgrade(to="3.5.99", nodewise_releases=shop.offer("3.5.99", real), nodewise_deadline=10)
    assert NEW in put_back(cluster, ended, before)
    assert 0 < ended.summary["gates"]["failed"]


def test_a_node_that_is_lost(cluster: Cluster) -> None:
    """Out of reach in the middle of its switch: held, no other member is touched, and what the node had begun it finishes."""
    before = cluster.starts()
    running, node, folder = _in_the_first_switch(cluster)
    cluster.root(node, "systemctl stop ssh; pkill -x sshd")
    out, err = running.communicate(timeout=120)
    cluster.root(node, "systemctl start ssh")
    ended = Ended(running.returncode, out + err, folder)
    assert "held" == ended.outcome, ended.said
    assert running.returncode != 0
    assert "Traceback" not in ended.said
    assert f"{node} was lost in the middle of its turn; no other member was touched" in ended.said
    assert {name: count + (name == node) for name, count in before.items()} == cluster.starts()


def test_a_controller_that_is_killed(cluster: Cluster) -> None:
    """Killed in the middle of a switch, it has judged nothing. The same command finishes it, and no member is started twice."""
    before, done = cluster.starts(), [name for name in cluster.names if NEW in cluster.root(name, RUNS)]
    running, _, folder = _in_the_first_switch(cluster)
    for pid in descendants(running.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert -signal.SIGKILL == running.wait(10)
    assert not (folder / "summary.json").exists()
    ended = cluster.upgrade()
    assert ("upgraded", 0) == (ended.outcome, ended.code), ended.said
    assert {NEW} == cluster.versions()
    assert {name: count + (name not in done) for name, count in before.items()} == cluster.starts()
    assert cluster.data_whole()


def _in_the_first_switch(cluster: Cluster) -> tuple[subprocess.Popen[str], str, Path]:
    """Run the upgrade until the first node's old process is gone: the playbook, the node, and the folder of the record."""
    pids = cluster.everywhere(PID)
    command, env, folder = cluster.command("upgrade", nodewise_to=NEW)
    pipe = subprocess.PIPE
    running = subprocess.Popen(command, cwd=checkout(), env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
    deadline = time.monotonic() + 120
    while not (node := _in_hand(folder)) or pids[node] == cluster.root(node, PID):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return running, node, folder


def _in_hand(folder: Path) -> str:
    """The node whose switch has begun."""
    begun = [record["node"] for record in read(folder) if record.get("step") == "switch" and record["phase"] == "begin"]
    return begun[0] if begun else ""


def test_wiping(cluster: Cluster) -> None:
    """With the cluster's name as confirmation nothing of it is left on the nodes, nor its authority here."""
    ended = cluster.play("wipe", nodewise_confirm=cluster.net.name)
    assert 0 == ended.code, ended.said
    left = "ls -d /opt/nodewise/etcd /etc/nodewise/etcd /var/lib/nodewise/etcd /etc/systemd/system/etcd.service 2>/dev/null; true"
    assert {""} == set(cluster.everywhere(left).values())
    assert {"0"} == set(cluster.everywhere("pgrep --count --exact etcd || true").values())
    assert not cluster.net.pki.exists()
