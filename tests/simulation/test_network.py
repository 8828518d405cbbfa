"""A network that fails in the middle of an upgrade, between the members or on the way to a node. The tests go in order."""

from __future__ import annotations

import time

import pytest

from tests.simulation.bad_days import Day, bad_day, fault
from tests.system.etcd_cluster import NEW, Cluster, Running, in_a_switch

PEERS = 2380  # the port on which members speak to each other
PID = "systemctl show -P MainPID etcd"


@pytest.fixture(scope="module")
def shared(etcd: Cluster) -> Cluster:
    """Three members that are taken from the old version to the new one again and again."""
    return etcd.reset()


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    """On the old version."""
    shared.anew()
    return shared


def begun(cluster: Cluster, deadline: int = 120, *, gone: bool = True) -> tuple[Running, str, float]:
    """An upgrade in whose first switch the old process is `gone`, or which begins that: the playbook, the current node, since when.

    A fault takes a second to be proved, in which the new process would have settled.
    """
    pids = cluster.everywhere(PID)
    began, running = time.monotonic(), cluster.start(nodewise_deadline=deadline)
    record = running.until(in_a_switch)
    assert record
    while gone and pids[record["node"]] == cluster.root(record["node"], PID):
        assert running.process.poll() is None
        time.sleep(0.02)
    return running, record["node"], began


def again(day: Day, restarted: dict[str, int]) -> None:
    """After the repair the same command goes on to the end."""
    day.upgrade("upgraded")
    day.restarted = dict.fromkeys(day.cluster.names, 1) | restarted
    assert {NEW} == day.cluster.versions()


@pytest.mark.slow
def test_a_node_that_is_lost(cluster: Cluster) -> None:
    """Out of reach in the middle of its switch: a pause, no other member is touched, and what the node had begun it finishes."""
    with bad_day(cluster, "a node lost in the middle of its step") as day:
        running, node, began = begun(cluster)
        cluster.root(node, "systemctl stop ssh; pkill -x sshd")
        ended = running.ended()
        cluster.root(node, "systemctl start ssh")
        day.ended(ended, "paused", began=began, code=ended.code)
        assert 0 != ended.code
        assert f"{node} was lost during its batch; no other member was touched" in ended.said
        assert {node} == set(day.restarts())
        again(day, {})


@pytest.mark.slow
def test_leadership_that_moves(cluster: Cluster) -> None:
    """Another leader in the middle of a step is no reason to stop: which batch is next is decided each time anew."""
    with bad_day(cluster, "leadership moves in the middle of a step") as day:
        leader = cluster.leader()
        running, node, began = begun(cluster)
        heir = next(name for name in cluster.names if name not in (leader, node))
        moved = cluster.etcdctl(leader, f"move-leader {cluster.status(heir)['header']['member_id']:x}")
        assert "Leadership transferred" in moved
        day.ended(running.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)
        assert {NEW} == cluster.versions()


@pytest.mark.slow
def test_ssh_that_is_cut(cluster: Cluster) -> None:
    """A connection that breaks while the node restarts is made anew, and what the node says then is what counts."""
    with bad_day(cluster, "SSH cut during the restart") as day:
        running, node, began = begun(cluster)
        cluster.root(node, "pkill -f '^sshd: nodewise'")
        day.ended(running.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)


@pytest.mark.slow
def test_a_partition_that_heals(cluster: Cluster) -> None:
    """The current node is waited for until its deadline."""
    with bad_day(cluster, "partition of the current node heals") as day:
        running, node, began = begun(cluster, gone=False)
        with fault(cluster, "partition", **{"from": node, "ports": [PEERS]}):
            time.sleep(8)
            assert running.process.poll() is None
        day.ended(running.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(cluster.names, 1)


@pytest.mark.slow
def test_a_partition_that_does_not_heal(cluster: Cluster) -> None:
    """At its deadline the node is taken back or the run pauses, and the others serve; healed, the same command ends well."""
    with bad_day(cluster, "partition of the current node, does not heal") as day:
        running, node, began = begun(cluster, deadline=15, gone=False)
        with fault(cluster, "partition", **{"from": node, "ports": [PEERS]}):
            ended = running.ended()
        day.ended(ended, "rolled_back", "paused", began=began)
        again(day, {node: 2 + day.restarts().get(node, 0)})  # brought back first, then upgraded
