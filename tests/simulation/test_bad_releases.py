"""Releases that go wrong on the first node, and on the last one, where going back may be too late. The tests go in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulation.bad_days import Day, bad_day
from tests.system.etcd_cluster import NEW, OLD, Cluster, Ended
from tests.system.tarballs import Shop, opened, programs

# A release that is as bad as /run/bad-day on its node says: one artifact is bad on the first node, on the last, or on none.
WRAPPER = b"""#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
case "$(cat /run/bad-day 2>/dev/null)" in
dies) echo 'error: flag provided but not defined' >&2; exit 2 ;;
hangs) exec sleep 1000 ;;
crashes) (sleep 20; kill -9 $$) & ;;
older) exec "$here/etcd.old" "$@" ;;
full) sed 's|^quota-backend-bytes:.*|quota-backend-bytes: 1|' "$2" >/tmp/full.yml; set -- "$1" /tmp/full.yml ;;
alone) sed -e 's|^data-dir:.*|&/alone|' -e 's|^initial-cluster-token:.*|&-alone|' \
  -e "s|^initial-cluster:.*\\b\\($(hostname)=[^,]*\\).*|initial-cluster: \\1|" "$2" >/tmp/alone.yml; set -- "$1" /tmp/alone.yml ;;
deaf) sed 's|^listen-client-urls:.*|listen-client-urls: https://127.0.0.1:2379|' "$2" >/tmp/deaf.yml; set -- "$1" /tmp/deaf.yml ;;
esac
exec "$here/etcd.new" "$@"
"""
# What the reason says, for each way to be bad: the last words of the process, what was waited for, the gate.
BAD = {
    "dies": ("exits at once", ["flag provided but not defined"]),
    "hangs": ("never gets ready", ["did not start: it was activating"]),
    "older": ("is another than it says", ["node_at_target", OLD]),
    "deaf": ("refuses clients", ["members_serving"]),
}


@pytest.fixture(scope="module")
def cluster(etcd: Cluster) -> Cluster:
    """Three members that survive what is done to them."""
    return etcd.reset()


@pytest.fixture(scope="module")
def release(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What is declared of the release."""
    real, old = (programs(version, tmp_path_factory.mktemp(version)) for version in (NEW, OLD))
    shop: Shop
    with opened(cluster.net, tmp_path_factory.mktemp("shop")) as shop:
        yield shop.offer(NEW, {**real, "etcd": WRAPPER, "etcd.new": real["etcd"], "etcd.old": old["etcd"]})


def be(cluster: Cluster, node: str, how: str) -> None:
    """Have the release be bad on one node alone."""
    cluster.everywhere("rm -f /run/bad-day")
    cluster.root(node, f"echo {how} >/run/bad-day")


def first_of(cluster: Cluster) -> str:
    """The node that is taken first: the first follower by name."""
    return next(name for name in cluster.names if name != cluster.leader())


def put_back(day: Day, ended: Ended, node: str, named: list[str]) -> None:
    """The node is back on the old version, with the evidence in the reason, and its log kept."""
    reason = str(ended.summary["reason"])
    assert f"{node}: " in reason
    assert [] == [word for word in named if word not in reason], reason
    assert f"It is back on {OLD}, " in ended.said
    assert f"and writes were tried through {', '.join(day.cluster.names)}" in ended.said
    assert OLD in day.cluster.version(node)
    assert "Started etcd" in (ended.folder / "collected" / f"{node}.txt").read_text()


@pytest.mark.parametrize("how", ["dies", *(pytest.param(how, marks=pytest.mark.slow) for how in BAD if how != "dies")])
def test_bad_on_the_first_node(cluster: Cluster, release: dict[str, Any], how: str) -> None:
    """The current node goes back to its old version, the evidence is named, and no other member is restarted."""
    node = first_of(cluster)
    be(cluster, node, how)
    with bad_day(cluster, f"new binary {BAD[how][0]}") as day:
        ended = day.upgrade("rolled_back", nodewise_releases=release, nodewise_deadline=10)
        put_back(day, ended, node, BAD[how][1])
        day.restarted = {node: 1 + (how in ("older", "deaf"))}
    assert {OLD} == cluster.versions()


@pytest.mark.slow
def test_a_crash_in_the_soak(cluster: Cluster, release: dict[str, Any]) -> None:
    """What crashes after 20 s has settled long before: the canary's soak finds it, and the node goes back."""
    node = first_of(cluster)
    be(cluster, node, "crashes")
    with bad_day(cluster, "new binary crashes after 20 s") as day:
        ended = day.upgrade("rolled_back", nodewise_releases=release, nodewise_soak=30)
        put_back(day, ended, node, ["soak failed"])
        day.restarted = day.restarts()  # systemd starts it as often as it crashes
        assert {node} == set(day.restarted)
    assert {OLD} == cluster.versions()


@pytest.mark.slow
@pytest.mark.parametrize("how", BAD)
def test_bad_on_the_last_node(cluster: Cluster, release: dict[str, Any], how: str) -> None:
    """Before the cluster's version has moved the node goes back, and the others stay; once it has moved, nothing is put back."""
    before = {name: cluster.version(name) for name in cluster.names}
    last = cluster.leader() if OLD in before.values() and NEW not in before.values() else old_one(before)
    well = next(name for name in cluster.names if name != last)
    be(cluster, last, how)
    with bad_day(cluster, f"last node only: {BAD[how][0]}") as day:
        ended = day.upgrade("rolled_back", "paused", "intervention_required", nodewise_releases=release, nodewise_deadline=10)
        moved = NEW.startswith(cluster.acts_as(well))
        assert moved == (ended.outcome != "rolled_back"), ended.said
        assert cluster.root(last, "readlink /opt/nodewise/etcd/current").endswith(NEW if moved else OLD)
        assert [] == [name for name in cluster.names if name != last and f"{name}  {NEW}  " not in ended.said]
        day.restarted = {name: 1 for name in cluster.names if name != last and before[name] == OLD}
        day.restarted[last] = 1 + (how in ("older", "deaf") and not moved)
        if moved:
            repair(day, last, release)
        else:
            put_back(day, ended, last, BAD[how][1])
            assert f"{last}  {OLD}  " in ended.said


def repair(day: Day, node: str, release: dict[str, Any]) -> None:
    """The way on that was named: fix it where it is, then run the same command again."""
    day.cluster.root(node, "rm /run/bad-day; systemctl restart etcd")
    day.before[node] += 1  # by this test
    day.upgrade("upgraded", "unchanged", nodewise_releases=release)


def old_one(versions: dict[str, str]) -> str:
    """The one member that is left on the old version."""
    (name,) = (name for name, version in versions.items() if version == OLD)
    return name


@pytest.mark.slow
def test_what_an_undo_does_not_heal(cluster: Cluster, release: dict[str, Any]) -> None:
    """The release's quota of one byte raises NOSPACE everywhere: the node goes back, and nobody says that all is well."""
    node = first_of(cluster.reset())
    be(cluster, node, "full")
    with bad_day(cluster, "writes refused after an undo") as day:
        ended = day.upgrade("paused", nodewise_releases=release, nodewise_deadline=10)
        day.restarted = {node: 2}
        assert OLD in cluster.version(node)
        assert f"It runs {OLD} again, but not all is as it was" in ended.said
        assert [] == [word for word in ("NOSPACE", "etcdctl alarm disarm", "database space exceeded") if word not in ended.said]
        cluster.etcdctl(node, "alarm disarm")
    assert {OLD} == cluster.versions()


@pytest.mark.slow
def test_a_canary_that_became_a_cluster_of_its_own(cluster: Cluster, release: dict[str, Any]) -> None:
    """It is stopped at once and put back with its own data; what clients wrote to it alone is kept, and said."""
    node = first_of(cluster.reset())
    be(cluster, node, "alone")
    with bad_day(cluster, "the canary became its own cluster", through=[name for name in cluster.names if name != node]) as day:
        ended = day.upgrade("rolled_back", nodewise_releases=release)
        day.restarted = {node: 2}
        assert f"{node} had become a cluster of its own (" in ended.said
        kept = ended.said.split(f"it is kept on {node} in ")[1].split()[0]
        assert cluster.root(node, f"ls {kept}/member/snap/db")
        assert f"It is back on {OLD}, " in ended.said
    assert {OLD} == cluster.versions()
