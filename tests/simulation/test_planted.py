"""Bugs that are planted in a real cluster, its release, its clients, its locks and a fault: each has to be found.

What is planted is taken away in the run beside it, which has the same scenario and seed, and has to be valid.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.model import Operation
from nodewise.simulation import harness
from nodewise.simulation.faults.fault import Means
from nodewise.simulation.faults.host import Scene
from nodewise.simulation.faults.partition import Partition
from nodewise.simulation.harness import Rehearsal, exit_code
from nodewise.simulation.playbook import follow
from nodewise.simulation.scenario import Scenario
from nodewise.simulation.workloads import lock
from nodewise.simulation.workloads.client import Operations
from nodewise.simulation.workloads.registry import workload_named
from nodewise.systems.etcd.client import EtcdClient, decode, encode
from nodewise.testnet.podman import Podman
from nodewise.testnet.state import Testnet
from nodewise.views.live import View
from tests.simulation.drops import PROXY, WRAPPER
from tests.system.cluster import SEED
from tests.system.etcd_cluster import ETCDCTL, NEW, OLD, Cluster
from tests.system.tarballs import opened, programs

CLIENT = "nodewise.systems.etcd.client.EtcdClient"
BOTH = pytest.mark.parametrize("planted", [True, False], ids=["planted", "sound"])
CLUSTER = {"system": "etcd", "version": OLD, "nodes": 3}
QUICK = {"progress": {"operations": 5, "within": 60}}


def perform(net: Testnet, folder: Path, **fields: Any) -> dict[str, Any]:
    """The summary of a scenario that is performed on a testnet which is up."""
    given = {"name": "planted", "cluster": CLUSTER, **QUICK, **fields}
    given.setdefault("safety", workload_named(given["workload"]["name"]).checkers)
    rehearsal = Rehearsal(msgspec.convert(given, Scenario), net.name, seed=SEED, base=folder)
    with View([], io.StringIO(), tty=False) as nobody:
        return rehearsal.perform(net, nobody)


def found(summary: dict[str, Any]) -> set[str]:
    """The checkers that said invalid."""
    return {one["checker"] for one in summary["checkers"] if one["verdict"] == "invalid"}


def says(summary: dict[str, Any], checker: str) -> str:
    """What a checker said."""
    return next(str(one["says"]) for one in summary["checkers"] if one["checker"] == checker)


@pytest.fixture
def net(etcd: Cluster) -> Testnet:
    """Three members, as they were made."""
    return etcd.reset().net


class TimeoutsFail(EtcdClient):
    """A client that takes what it has no answer to for what did not happen."""

    def invoke(self, operation: Operation) -> Operation:
        """As told, and wrong."""
        done = super().invoke(operation)
        return msgspec.structs.replace(done, type="fail") if done.type == "info" else done


@pytest.mark.slow
@BOTH
def test_a_client_that_counts_timeouts_as_failures(
    net: Testnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """What it appends again is there twice, and was appended once by what it says."""
    if planted:
        monkeypatch.setattr(CLIENT, TimeoutsFail)
    slow = {"id": "slow", "kind": "slow_disk", "target": "all", "delay": "600ms", "for": 6}
    summary = perform(net, tmp_path, workload={"name": "append", "keys": 6}, faults=[slow], max_down=3, coverage=5)
    assert (planted, planted) == ("appended" in found(summary), bool(found(summary))), summary["checkers"]
    assert planted == (summary["verdict"] != "valid"), summary["checkers"]


class Lock(EtcdClient):
    """A lock as `etcdctl lock NAME PROGRAM` gives it: whoever has it holds it for as long as the program runs."""

    holder: subprocess.Popen[str] | None = None
    child = ""

    def invoke(self, operation: Operation) -> Operation:
        """The token is the revision that the program is given; nothing asks for it."""
        if operation.f == "acquire":
            return self._acquired(operation)
        if operation.f == "guarded":
            self.put({operation.key: f"{operation.old}:{operation.value}"})
            return msgspec.structs.replace(operation, type="ok")
        if operation.f == "release":
            self._let_go()
            return msgspec.structs.replace(operation, type="ok")
        return super().invoke(operation)

    def _acquired(self, operation: Operation) -> Operation:
        """The child says its token and its number, and lives until it is ended: etcdctl gives it no input."""
        etcdctl, child = ETCDCTL.partition("ETCDCTL_API=3 ")[2], "sh -c 'echo $ETCD_LOCK_REV $$; exec sleep 60'"
        line = f"cd /etc/nodewise/etcd; export ETCDCTL_API=3; exec timeout 60 {etcdctl} lock --ttl 2 -- {operation.key} {child}"
        self.holder = subprocess.Popen(
            Podman().exec_command(self._node, ["sh", "-c", line]), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.holder.stdout
        if said := self.holder.stdout.readline().split():
            self.child = said[1]
            return msgspec.structs.replace(operation, type="ok", value=int(said[0]))
        self._let_go()
        return msgspec.structs.replace(operation, type="fail", refused=True)

    def _let_go(self) -> None:
        holder, child, self.holder, self.child = self.holder, self.child, None, ""
        if child:
            subprocess.run(Podman().exec_command(self._node, ["kill", child]), check=False, stderr=subprocess.DEVNULL)
        if holder and holder.stdout:
            holder.wait(90)
            holder.stdout.close()

    def close(self) -> None:
        """With the lock, where it is held."""
        self._let_go()
        super().close()


def holding(seed: int, process: int, clients: int, keys: int, prefix: str) -> Operations:
    """A client that holds the one lock for many writes, for longer than a lease lasts that nobody renews."""
    del seed, clients, keys
    number = 0
    while True:
        done = yield Operation(process, "invoke", "acquire", f"{prefix}lock", f"{process}.{number}", 0)
        if not done or done.type != "ok":
            continue
        for _ in range(16):
            number += 1
            yield Operation(process, "invoke", "guarded", f"{prefix}r", f"{process}.{number}", 0, old=done.value)
        yield Operation(process, "invoke", "release", f"{prefix}lock", None, 0, old=done.value)


@pytest.mark.slow
@BOTH
def test_a_lock_whose_child_runs_on(net: Testnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    """`etcdctl lock`: the lease is revoked, another one has the lock, and the first goes on to write. Ours refuses that."""
    monkeypatch.setattr(lock, "operations", holding)
    if planted:
        monkeypatch.setattr(CLIENT, Lock)
    gone = {"id": "gone", "kind": "lease_revoke", "at": 1}
    work = {"name": "lock", "clients": 2, "rate": 4, "warmup": 4}
    safety = ["fenced", "traffic", *(["exclusive"] if planted else [])]
    summary = perform(net, tmp_path, workload=work, faults=[gone], safety=safety, coverage=0)
    assert found(summary) == ({"fenced", "exclusive"} if planted else set()), summary["checkers"]


class NoFencing(EtcdClient):
    """A lock of ours that nothing guards: who slept writes, whoever has the lock by then."""

    def invoke(self, operation: Operation) -> Operation:
        """The token is written, and not compared."""
        if operation.f != "guarded":
            return super().invoke(operation)
        self.put({operation.key: f"{operation.old}:{operation.value}"})
        return msgspec.structs.replace(operation, type="ok")


@pytest.mark.slow
@BOTH
def test_a_lock_without_fencing(net: Testnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool) -> None:
    """Two holders write, as one of them slept for longer than its lease lasts."""
    monkeypatch.setattr(lock, "SLEEPY", 3)
    if planted:
        monkeypatch.setattr(CLIENT, NoFencing)
    summary = perform(net, tmp_path, workload={"name": "lock", "rate": 50, "warmup": 4})
    assert found(summary) == ({"fenced"} if planted else set()), summary["checkers"]


class Stale(EtcdClient):
    """A client of the first member that reads what this member has, without asking the others."""

    def get(self, key: str) -> str | None:
        """Serializable, on the first node alone."""
        if not self._node.endswith("-n1"):
            return super().get(key)
        there = self.call("/kv/range", key=encode(key), serializable=True).get("kvs", [])
        return decode(there[0].get("value", "")) if there else None


@pytest.mark.slow
@BOTH
def test_a_stale_read_path_in_front_of_one_member(
    net: Testnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """The member is cut off, and goes on to answer with what it had."""
    if planted:
        monkeypatch.setattr(CLIENT, Stale)
    cut = {"id": "cut", "kind": "partition", "from": "n1", "at": 1, "for": 6}
    summary = perform(net, tmp_path, workload={"name": "register", "keys": 6}, faults=[cut])
    assert ("linearizable" in found(summary), summary["verdict"]) == (planted, "invalid" if planted else "valid"), summary[
        "checkers"
    ]
    assert not planted or "fits no order" in says(summary, "linearizable")


def nothing(fault: Partition, scene: Scene) -> dict[str, Means]:
    """What a partition does that adds its table and no rule."""
    table = f"nodewise_{fault.id}"
    peers = tuple(name for name in scene.hosts if not name.endswith("-n1"))
    return {
        name: Means("nothing", f"nft add table inet {table}", f"nft delete table inet {table}", peers)
        for name in scene.hosts
        if name.endswith("-n1")
    }


def test_a_fault_that_does_nothing(net: Testnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as no coverage, with exit code 3, and never as valid, however well clients did."""
    monkeypatch.setattr("nodewise.simulation.faults.act.PROVING", 1.0)
    monkeypatch.setattr(Partition, "on", nothing)
    cut = {"id": "cut", "kind": "partition", "from": "n1", "for": 2}
    summary = perform(net, tmp_path, workload={"name": "set"}, faults=[cut])
    assert ("unknown", 3, set()) == (summary["verdict"], exit_code(summary), found(summary)), summary["checkers"]
    assert "no coverage: cut: " in says(summary, "coverage")


@pytest.fixture
def release(net: Testnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Any]:
    """Has upgrades install the new release with another program in front of it, where one is given."""

    def offer(front: bytes) -> Any:
        real = programs(NEW, tmp_path)
        (tmp_path / "shop").mkdir()
        shop = opened(net, tmp_path / "shop")
        more = {"etcd": front, "etcd.new": real["etcd"], "drops.py": PROXY} if front else {}
        given = {"nodewise_releases": shop.__enter__().offer(NEW, {**real, **more})}

        def followed(playbook: str, *, variables: dict[str, Any], **others: Any) -> int:
            return follow(playbook, variables={**variables, **given}, **others)

        monkeypatch.setattr(harness, "follow", followed)
        return shop

    return offer


@pytest.mark.slow
@BOTH
def test_a_release_that_drops_one_write_in_a_thousand(
    net: Testnet, release: Callable[[bytes], Any], tmp_path: Path, planted: bool
) -> None:
    """While members of both versions are there: the new ones acknowledge it, and nobody has it."""
    shop = release(WRAPPER if planted else b"")
    upgrade = {"to": NEW, "approve": "none", "ends": ["paused"], "linger": 20, "then": "upgrade"}
    summary = perform(net, tmp_path, workload={"name": "set", "rate": 300}, upgrade=upgrade)
    shop.__exit__(None, None, None)
    assert found(summary) == ({"durable", "linearizable"} if planted else set()), summary["checkers"]
    assert planted == (exit_code(summary, ["paused"]) == 1)
    assert planted == bool(summary["workload"]["lost"])


LOSES = b"""#!/bin/sh
cd /var/lib/nodewise/etcd; [ ! -f "$2" ] || [ -e lost ] || { rm -rf member; touch lost; }
exec "$(dirname "$(readlink -f "$0")")/etcd.new" "$@"
"""


@pytest.mark.slow
def test_an_upgrade_that_loses_a_members_data(etcd: Cluster, net: Testnet, release: Callable[[bytes], Any], tmp_path: Path) -> None:
    """It goes no further than that member, which is named, and what the others have is whole."""
    shop = release(LOSES)
    summary = perform(net, tmp_path, workload={"name": "set"}, upgrade={"to": NEW})
    shop.__exit__(None, None, None)
    assert (1, True) == (exit_code(summary), summary["outcome"] in ("paused", "intervention_required")), summary
    assert sum(version == NEW for version in summary["nodes"].values()) <= 1, summary["nodes"]
    assert "durable" not in found(summary), summary["checkers"]
    looked = etcd.everywhere("cd /var/lib/nodewise/etcd; ls lost 2>/dev/null; rm -f lost")
    (lost,) = (node for node, said in looked.items() if said)
    assert lost in str(summary["reason"])
