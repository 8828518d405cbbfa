"""Restarts, changed settings and reboots of real clusters: what an upgrade does, with a version that stays."""

from __future__ import annotations

from tests.system.etcd_cluster import Cluster, Ended


def order(ended: Ended) -> list[str]:
    """The members in the order in which they were restarted."""
    return [str(record["node"]) for record in ended.journal("step", "begin") if record["step"] == "switch"]


def test_every_member_of_etcd_is_restarted(etcd: Cluster) -> None:
    """Each once and the leader last, after it handed over; --check shows the plan, and no process is another one after it."""
    etcd.reset()
    leader, before, starts = etcd.leader(), etcd.look(), etcd.starts()
    planned = etcd.play("restart", "--check")
    assert ("planned", 0) == (planned.outcome, planned.code), planned.said
    assert before == etcd.look()
    ended = etcd.play("restart", nodewise_approve=planned.summary["plan"])
    assert ("changed", 0) == (ended.outcome, ended.code), ended.said
    assert {node: count + 1 for node, count in starts.items()} == etcd.starts()
    assert leader == order(ended)[-1] != etcd.leader()
    assert etcd.data_whole()
