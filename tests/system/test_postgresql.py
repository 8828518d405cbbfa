"""PostgreSQL as the role leaves it: made once with its store, made again without a change, refused without a store, removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.postgresql_cluster import NEW, OLD, PATRONI_OLD, Cluster, healthy, made

IDENTIFIER = "select system_identifier from pg_control_system()"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three members with Patroni of an earlier version than the role's own."""
    with made(Path(tmp_path_factory.mktemp("runs"))) as cluster:
        yield cluster


def test_what_was_asked_for_runs(cluster: Cluster) -> None:
    """The testnet says the version that runs; the store is a cluster of its own on the same nodes."""
    assert (OLD, {OLD}) == (cluster.net.version, {cluster.version(node) for node in cluster.names})
    assert {PATRONI_OLD} == cluster.patroni_versions()
    status = cluster.play("status", nodewise_cluster=f"{cluster.net.name}_store")
    assert (0, True) == (status.code, f"{cluster.net.name}_store is healthy" in status.said)


def test_a_minor_is_upgraded(cluster: Cluster) -> None:
    """Each member is started once, the primary's role moves once, and the data is whole."""
    before, timeline = cluster.starts(), cluster.timeline()
    ended = cluster.upgrade()
    assert ("upgraded", 0) == (ended.outcome, ended.code), ended.said
    assert {NEW} == cluster.versions()
    assert timeline + 1 == cluster.timeline()
    assert {node: count + 1 for node, count in before.items()} == cluster.starts()
    assert cluster.data_whole()


@pytest.mark.slow
def test_provisioning_again(cluster: Cluster) -> None:
    """A cluster that is as it should be is not touched, and a setting that is wanted otherwise reaches all without a restart."""
    cluster.reset()
    before, servers = cluster.look(), cluster.postmasters()
    ended = cluster.play("provision")
    assert (0, False) == (ended.code, "changed " in ended.said), ended.said[-2000:]
    assert before == cluster.look()
    assert 0 == cluster.play("provision", nodewise_postgresql_parameters={"work_mem": "7MB"}).code
    assert ["7MB"] * 3 == [cluster.sql(node, "show work_mem") for node in cluster.names]
    assert servers == cluster.postmasters()


@pytest.mark.slow
def test_a_store_that_is_not_there_is_named(cluster: Cluster) -> None:
    """And nothing is changed."""
    before = cluster.look()
    ended = cluster.play("provision", nodewise_dcs="nowhere")
    assert 0 != ended.code
    assert all(words in ended.said for words in ("nodewise_dcs is nowhere", "nodewise_dcs_hosts")), ended.said[-2000:]
    assert before == cluster.look()


@pytest.mark.slow
def test_one_that_was_wiped_begins_anew(cluster: Cluster) -> None:
    """Neither its data nor what the store knew of it is there any more; the next of its name is another cluster."""
    name, (first, *_) = cluster.net.name, cluster.names
    identifier = cluster.sql(first, IDENTIFIER)
    assert 0 == cluster.play("wipe", nodewise_confirm=name).code
    assert "" == cluster.root(first, "ls -d /opt/nodewise/p* /etc/nodewise/p* /var/lib/nodewise/p* 2>/dev/null || true")
    assert 0 == cluster.play("provision").code
    healthy(cluster)
    assert identifier != cluster.sql(first, IDENTIFIER)
