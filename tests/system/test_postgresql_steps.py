"""Patroni upgraded while its PostgreSQL goes on, on real nodes: there, killed in the middle, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.cluster import in_a_switch, until
from tests.system.postgresql_cluster import PATRONI_NEW, PATRONI_OLD, Cluster, healthy, made

pytestmark = pytest.mark.slow  # two upgrades of Patroni

COMPONENT = {"nodewise_component": "patroni", "nodewise_to": PATRONI_NEW}
LOCK = "/run/nodewise/postgresql.lock"
# Kills the process that holds the node for its change, the module itself, while Patroni is stopped.
KILL = f"""nohup sh -c 'while systemctl is-active --quiet patroni; do sleep 0.02; done
kill -9 $(sed "s/.*, pid //" {LOCK})' >/dev/null 2>&1 &"""


@pytest.fixture(scope="module")
def cluster(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001
    """Three members with the older Patroni."""
    with made(tmp_path_factory.mktemp("runs")) as one:
        yield one


def paused(cluster: Cluster, node: str) -> tuple[object, object]:
    """Whether the cluster is paused, and for which member of ours, as a member says."""
    config = cluster.patroni(node, "config")
    return config.get("pause"), config.get("nodewise_paused")


def test_a_pause_of_somebody_else_is_refused(cluster: Cluster) -> None:
    """Nothing is changed, and the pause stays."""
    cluster.patronictl(cluster.names[0], "pause --wait")
    try:
        assert "somebody paused Patroni" in cluster.refuse(**COMPONENT)
        assert (True, None) == paused(cluster, cluster.names[0])
    finally:
        cluster.patronictl(cluster.names[0], "resume --wait")


def test_a_switch_that_was_killed_is_gone_on_with(cluster: Cluster) -> None:
    """The module dies on the node in the middle of the pause, and so does the run; the same command ends it, and the pause."""
    before = cluster.postmasters(), cluster.leader(), cluster.timeline()
    running = cluster.start(**COMPONENT)
    node = str((running.until(in_a_switch) or {})["node"])
    cluster.root(node, KILL)
    until(lambda: "patroni_switch" in cluster.root(node, f"cat {LOCK}"))
    running.kill()
    until(lambda: "inactive" == cluster.root(node, "systemctl is-active patroni || true"))
    other = next(name for name in cluster.names if name != node)
    assert (True, node) == paused(cluster, other)
    ended = cluster.upgrade(**COMPONENT)
    assert "upgraded" == ended.outcome, ended.said
    assert (None, None) == paused(cluster, cluster.names[0])
    assert {PATRONI_NEW} == cluster.patroni_versions()
    assert before == (cluster.postmasters(), cluster.leader(), cluster.timeline())


def test_patroni_goes_back(cluster: Cluster) -> None:
    """The old Patroni runs again, and no PostgreSQL was restarted by either way."""
    before = cluster.postmasters(), cluster.leader(), cluster.timeline()
    ended = cluster.rollback(nodewise_component="patroni")
    assert "rolled_back" == ended.outcome, ended.said
    assert {PATRONI_OLD} == cluster.patroni_versions()
    assert before == (cluster.postmasters(), cluster.leader(), cluster.timeline())
    healthy(cluster)
    assert cluster.data_whole()
