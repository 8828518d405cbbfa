"""Verbs that no upgrade runs where all goes well: on one node of a real cluster, whose others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import etcd_cluster, postgresql_cluster
from tests.system.cluster import Cluster

pytestmark = pytest.mark.slow
DATA = "/var/lib/nodewise/postgresql/data"


def run(cluster: Cluster, node: str, *verbs: str) -> Path:
    """Run verbs on a node; returns the record."""
    ended = cluster.play("../tests/system/verbs", nodewise_version=cluster.old, verbs_node=node, verbs=list(verbs))
    assert 0 == ended.code, ended.said
    return ended.folder


def test_what_an_etcd_node_says_is_collected(etcd: etcd_cluster.Cluster) -> None:
    """The unit's state, its log and what is on the disk are in the record, of that node alone."""
    cluster = etcd.reset()
    node = cluster.names[0]
    (file,) = (run(cluster, node, "collect") / "collected").iterdir()
    assert f"{node}.txt" == file.name
    assert [] == [
        words for words in ("Active: active (running)", "raft", "/releases/3.4.23/release.json") if words not in file.read_text()
    ]


def test_a_postgresql_member_joins_without_its_data(postgresql: postgresql_cluster.Cluster) -> None:
    """One that comes with an empty data folder copies the primary, and streams from it; its logs are collected."""
    cluster = postgresql.reset()
    node = next(name for name in cluster.names if name != cluster.leader())
    cluster.root(node, f"systemctl stop patroni; rm -rf {DATA}")
    assert not cluster.serves(node)
    record = run(cluster, node, "join", "healthy", "collect")
    postgresql_cluster.healthy(cluster)
    assert cluster.data_whole()
    said = (record / "collected" / f"{node}.txt").read_text()
    assert [] == [words for words in ("Active: active (running)", "Database cluster state", "pg_wal") if words not in said]


def test_a_postgresql_member_that_is_down_is_recovered(postgresql: postgresql_cluster.Cluster) -> None:
    """The same command that upgrades brings a member back first, on the version that the others run."""
    cluster = postgresql.reset()
    node = next(name for name in cluster.names if name != cluster.leader())
    cluster.root(node, f"systemctl stop patroni; rm -rf {DATA}")
    ended = cluster.upgrade(to=cluster.old, nodewise_recover=node)
    assert (0, "upgraded") == (ended.code, ended.outcome), ended.said
    assert ["recover"] == [
        one["step"] for one in ended.journal("step", "end") if one.get("node") == node and one["step"] == "recover"
    ]
    assert node in cluster.streaming()
    assert cluster.data_whole()
