"""The worst days of an etcd cluster: a member that is down, one that lost everything, data that differs; they share a cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise import releases
from nodewise.testnet.state import checkout
from tests.system.cluster import NEW, OLD, Cluster, Ended, made
from tests.system.divergence import alter

EVERYTHING = """systemctl disable --quiet --now etcd; rm -rf /var/lib/nodewise /etc/nodewise /opt/nodewise/etcd \
/etc/systemd/system/etcd.service; systemctl daemon-reload; userdel etcd"""


@pytest.fixture(scope="module")
def cluster(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001  (in that home)
    """Three members that survive what is done to them."""
    with made(tmp_path_factory.mktemp("runs")) as three:
        yield three


def repair(cluster: Cluster, node: str, version: str = OLD) -> Ended:
    """Have a member brought back on a version."""
    release = releases.resolve(releases.load_rules(checkout() / "roles/etcd"), version, {}, os.uname().machine)
    step: dict[str, Any] = {"node": node, "version": version, "release": msgspec.to_builtins(release), "deadline": 60}
    return cluster.play("../tests/system/repair", nodewise_step=step)


def test_a_member_that_serves_is_left_alone(cluster: Cluster) -> None:
    """Nothing is changed on any node."""
    _, _, n3 = cluster.names
    before = cluster.look()
    ended = repair(cluster, n3)
    assert (0, before) == (ended.code, cluster.look()), ended.said


def test_a_member_that_is_down_is_started_with_its_data(cluster: Cluster) -> None:
    """Stopped, and the others already gone on: it is back, on its own data."""
    n1, _, n3 = cluster.names
    others = {name: count for name, count in cluster.starts().items() if name != n3}
    cluster.root(n3, "systemctl kill --signal=KILL etcd; systemctl stop etcd")
    cluster.etcdctl(n1, "put while-n3-was-down yes")
    ended = repair(cluster, n3)
    assert 0 == ended.code, ended.said
    assert "yes" in cluster.etcdctl(n3, "get --consistency=s while-n3-was-down")
    assert others == {name: count for name, count in cluster.starts().items() if name != n3}
    assert cluster.data_whole()


def test_a_member_on_new_hardware_comes_anew(cluster: Cluster) -> None:
    """No unit, no user, no certificates, no data: it is a member again with all the data, and starts at boot."""
    _, n2, _ = cluster.names
    others = {name: count for name, count in cluster.starts().items() if name != n2}
    cluster.root(n2, EVERYTHING)
    ended = repair(cluster, n2)
    assert 0 == ended.code, ended.said
    assert "enabled" == cluster.root(n2, "systemctl is-enabled etcd")
    assert others == {name: count for name, count in cluster.starts().items() if name != n2}
    assert 0 == cluster.play("status").code
    assert cluster.data_whole()


def test_data_that_differs_is_refused_by_name(cluster: Cluster) -> None:
    """The upgrade is refused, and says at which revision which member has which hash; put right again, it is healthy."""
    n1, _, n3 = cluster.names
    cluster.etcdctl(n1, "put divergence PLANTED-VALUE-A")
    alter(cluster, n3, "divergence", "PLANTED-VALUE-B")
    assert "PLANTED-VALUE-B" in cluster.etcdctl(n3, "get --consistency=s divergence")
    assert "PLANTED-VALUE-A" in cluster.etcdctl(n1, "get --consistency=s divergence")
    reason = cluster.refuse(to=NEW)
    seen = json.loads(cluster.etcdctl(n3, "endpoint hashkv --write-out json"))[0]["HashKV"]
    assert "fingerprints_equal: the members' data is not proved to be equal" in reason
    assert f'{{"name":"{n3}","fingerprint":"{seen["hash"]}@{seen["compact_revision"]}","errors":["fingerprint ' in reason
    assert f'"at":{seen["header"]["revision"]},' in reason
    alter(cluster, n3, "divergence", "PLANTED-VALUE-A")
    assert 0 == cluster.play("status").code
