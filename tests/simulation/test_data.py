"""Members whose data differs, before an upgrade and in the middle of one. The tests share a cluster and go in order."""

from __future__ import annotations

import json
import time

import pytest

from tests.simulation.bad_days import Day, bad_day
from tests.system.divergence import alter
from tests.system.etcd_cluster import NEW, Cluster

pytestmark = pytest.mark.slow
KEY, WAS, IS = "divergence", "PLANTED-VALUE-A", "PLANTED-VALUE-B"


@pytest.fixture(scope="module")
def cluster(etcd: Cluster) -> Cluster:
    """Three members with one value more, that is altered and put right again."""
    etcd.reset().etcdctl(etcd.names[0], f"put {KEY} {WAS}")
    return etcd


def altered(day: Day, node: str, value: str) -> None:
    """One member is stopped and started with another value, by this test."""
    alter(day.cluster, node, KEY, value)
    day.before[node] += 1


def told(cluster: Cluster, node: str, reason: str) -> None:
    """The member, the revision and both hashes are in the reason."""
    found = {name: json.loads(cluster.etcdctl(name, "endpoint hashkv --write-out json"))[0]["HashKV"] for name in cluster.names}
    assert node in reason, reason
    assert found[node]["hash"] != found[next(name for name in cluster.names if name != node)]["hash"]


def test_a_compacted_idle_cluster_is_no_divergence(cluster: Cluster) -> None:
    """Compacted at its head and idle, there is nothing to compare below: it is fit to be upgraded all the same."""
    node = cluster.names[0]
    cluster.etcdctl(node, f"compaction --physical {cluster.status(node)['header']['revision']}")
    ended = cluster.upgrade("--check")
    assert "planned" == ended.outcome, ended.said


def test_one_member_differs(cluster: Cluster) -> None:
    """One value of equal length on one member: refused, with the member, the revision and the hashes."""
    node = next(name for name in cluster.names if name != cluster.leader())
    with bad_day(cluster, "data of one member diverged") as day:
        altered(day, node, IS)
        reason = day.refused("the members' data is not proved to be equal", node, '"at":', '"fingerprint":"')
        told(cluster, node, reason)
        altered(day, node, WAS)


def test_one_member_differs_in_the_roll(cluster: Cluster) -> None:
    """What going back to an old version would not fix pauses the run as it is; once fixed, the same command goes on to the end."""
    with bad_day(cluster, "divergence that appears during the roll") as day:
        began, running = time.monotonic(), cluster.start(nodewise_soak=10)
        record = running.until(lambda record: record.get("step") == "soak" and record["phase"] == "begin")
        assert record
        node = next(name for name in cluster.names if name not in (record["node"], cluster.leader()))
        altered(day, node, IS)
        ended = day.ended(running.ended(), "paused", began=began)
        told(cluster, node, str(ended.summary["reason"]))
        assert {record["node"]: 1} == day.restarts()
        altered(day, node, WAS)
        day.upgrade("upgraded")
        day.restarted = dict.fromkeys(cluster.names, 1)
    assert {NEW} == cluster.versions()
