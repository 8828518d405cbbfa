"""What an upgrade refuses, says and does, on one real cluster that the tests share: they go in order, and it is upgraded last."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.etcd_cluster import NEW, OLD, Cluster, Ended, made
from tests.system.tarballs import TOP, Shop, opened, programs


@pytest.fixture(scope="module")
def cluster(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001  (in that home)
    """Three members, never broken: what a test takes away it gives back."""
    with made(tmp_path_factory.mktemp("runs")) as three:
        yield three


@pytest.fixture(scope="module")
def single(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001  (in that home)
    """One member, which no upgrade can do without."""
    with made(tmp_path_factory.mktemp("runs"), nodes=1) as one:
        yield one


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A web server with tarballs."""
    with opened(cluster.net, tmp_path_factory.mktemp("shop")) as here:
        yield here


@pytest.fixture(scope="module")
def upgraded(
    cluster: Cluster, shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ended, dict[str, int], dict[str, object]]:
    """The upgrade to a tarball like upstream's; with how often each member had been started before, and what was declared."""
    release = shop.offer(NEW, programs(NEW, tmp_path_factory.mktemp("programs")))
    before = cluster.starts()
    return cluster.upgrade(nodewise_releases=release), before, release


NOWHERE = {
    "artifacts": [{"url": "http://127.0.0.1:9/etcd.tar.gz", "sha256": "0" * 64, "kind": "tar"}],
    "binaries": {"etcd": "etcd"},
}


def test_a_change_would_be_seen(cluster: Cluster) -> None:
    """What the tests below call unchanged is looked at closely enough to see one new file on one node."""
    before, file = cluster.look(), "/opt/nodewise/etcd/releases/left"
    cluster.root(cluster.names[1], f"touch {file}")
    assert before != cluster.look()
    cluster.root(cluster.names[1], f"rm {file}")
    assert before == cluster.look()


@pytest.mark.slow
def test_no_target(cluster: Cluster) -> None:
    """Nothing is guessed about where to go."""
    assert "-e nodewise_to=VERSION" in cluster.refuse(to="")


@pytest.mark.slow
def test_unknown_version(cluster: Cluster) -> None:
    """The versions that are known are named, and how to add one."""
    reason = cluster.refuse(to="9.9.9")
    assert "unknown version 9.9.9; known: 3.3.25, 3.4.23, 3.5.16" in reason
    assert "nodewise_releases" in reason


@pytest.mark.slow
def test_going_back(cluster: Cluster) -> None:
    """An older version is no upgrade."""
    assert f"{OLD} is running and 3.3.25 is older" in cluster.refuse(to="3.3.25")


@pytest.mark.slow
def test_two_minors_away(cluster: Cluster) -> None:
    """Each hop is in the plan, with what leads to it; --check changes nothing."""
    before = cluster.look()
    ended = cluster.upgrade("--check", to="3.6.5", nodewise_releases={"3.6.5": NOWHERE})
    assert ("planned", 0) == (ended.outcome, ended.code), ended.said
    assert f"{OLD} → {NEW} → 3.5.30 → 3.6.5" in ended.said
    assert before == cluster.look()


@pytest.mark.slow
def test_a_limit_that_leaves_members_out(cluster: Cluster) -> None:
    """A cluster is judged whole or not at all."""
    first, *others = cluster.names
    assert f"--limit leaves out {', '.join(others)} of {cluster.net.name}" in cluster.refuse("--limit", first)


@pytest.mark.slow
def test_an_unknown_cluster(cluster: Cluster) -> None:
    """The clusters that the inventory has are named."""
    assert f"other is not a cluster in the inventory; it has {cluster.net.name}" in cluster.refuse(nodewise_cluster="other")


def test_an_empty_inventory(cluster: Cluster) -> None:
    """Without a testnet there is no cluster, and it is said how to make one."""
    ended = cluster.play("upgrade", env={"NODEWISE_TESTNET": "none"}, nodewise_to=NEW)
    assert ("refused", 2) == (ended.outcome, ended.code)
    assert "no cluster in the inventory" in ended.said
    assert "testnet up --nodes 3 --system etcd" in ended.said


@pytest.mark.slow
def test_an_artifact_without_a_checksum(cluster: Cluster) -> None:
    """What cannot be verified is not fetched."""
    release = {NEW: {**NOWHERE, "artifacts": [{"url": "http://127.0.0.1:9/etcd.tar.gz", "kind": "tar"}]}}
    assert "sha256" in cluster.refuse(nodewise_releases=release)


def test_check_mode(cluster: Cluster) -> None:
    """--check prints the whole plan, ends well, and has changed nothing on any node."""
    before = cluster.look()
    ended = cluster.upgrade("--check")
    assert ("planned", 0) == (ended.outcome, ended.code), ended.said
    assert before == cluster.look()
    assert (ended.folder / "plan.yaml").exists()
    leader = next(name for name, node in ended.summary["nodes"].items() if node["role"] == "leader")
    for line in (f"{OLD} → {NEW}", "batch 1", "batch 2", f"{leader}: the leader: last", "etcd-server=3.5.16"):
        assert line in ended.said


@pytest.mark.slow
def test_status_of_a_healthy_cluster(cluster: Cluster) -> None:
    """Each member is shown with its version, and that the gates hold."""
    status = cluster.play("status")
    assert 0 == status.code
    assert [True] * 3 == [f"{name}  {OLD}  " in status.said for name in cluster.names]
    assert f"{cluster.net.name} is healthy" in status.said


def test_provisioning_again(cluster: Cluster) -> None:
    """A cluster that is as it should be is not touched."""
    before = cluster.look()
    assert 0 == cluster.play("provision").code
    assert before == cluster.look()


@pytest.mark.slow
def test_wiping_needs_the_name(cluster: Cluster) -> None:
    """Without the cluster's name as confirmation nothing is removed, and the words that do it are printed."""
    before = cluster.look()
    for confirmed in ("", "other"):
        ended = cluster.play("wipe", nodewise_confirm=confirmed)
        assert 2 == ended.code
        assert f"-e nodewise_confirm={cluster.net.name}" in ended.said
    assert before == cluster.look()


@pytest.mark.slow
def test_two_clusters_and_none_named(cluster: Cluster, single: Cluster) -> None:
    """Nothing is guessed between two clusters."""
    before = single.look()
    ended = cluster.play("upgrade", env={"NODEWISE_TESTNET": ""}, nodewise_to=NEW)
    assert ("refused", 2) == (ended.outcome, ended.code)
    assert "name one: -e nodewise_cluster=NAME" in ended.said
    assert before == single.look()


@pytest.mark.slow
def test_an_outage_is_refused_until_it_is_accepted(single: Cluster) -> None:
    """A cluster of one cannot lose a member; when that is accepted it is upgraded and has its data."""
    assert '-e \'{"nodewise_waive": {"quorum_at_risk": "REASON"}}\'' in single.refuse()
    ended = single.upgrade(nodewise_waive={"quorum_at_risk": "nobody uses it on Sundays"})
    assert ["quorum_at_risk"] == [one["name"] for one in ended.summary["waived"]]
    assert ("upgraded", 0) == (ended.outcome, ended.code), ended.said
    assert {NEW} == single.versions()
    assert single.data_whole()


def test_a_tarball_like_upstreams(cluster: Cluster, upgraded: tuple[Ended, dict[str, int], dict[str, object]]) -> None:
    """A release by URL and checksum is what runs afterwards; each member was started once, the leader last."""
    ended, before, _ = upgraded
    assert ("upgraded", 0) == (ended.outcome, ended.code), ended.said
    assert {NEW} == cluster.versions()
    assert {name: count + 1 for name, count in before.items()} == cluster.starts()
    running = set(cluster.everywhere("readlink /proc/$(systemctl show -P MainPID etcd)/exe").values())
    assert {f"/opt/nodewise/etcd/releases/{NEW}/files/{TOP}/etcd"} == running
    assert cluster.data_whole()


def test_mixed_versions_are_proved(cluster: Cluster, upgraded: tuple[Ended, dict[str, int], dict[str, object]]) -> None:
    """After each member but the last, old and new ones read each other's writes; the key of the proof is gone at the end."""
    steps = upgraded[0].journal("step", "end")
    order = [step["node"] for step in steps if step["step"] == "switch"]
    assert [(node, True) for node in order[:-1]] == [
        (step["node"], step["ok"]) for step in steps if step["step"] == "mixed_version_check"
    ]
    assert "" == cluster.etcdctl(cluster.names[0], "get --prefix --keys-only /nodewise/proof")


def test_again_when_it_is_done(cluster: Cluster, upgraded: tuple[Ended, dict[str, int], dict[str, object]]) -> None:
    """Everything runs the target: unchanged, with --check too, and no process is restarted."""
    before = cluster.look()
    for words in ([], ["--check"]):
        ended = cluster.upgrade(*words, nodewise_releases=upgraded[2])
        assert ("unchanged", 0) == (ended.outcome, ended.code), ended.said
    assert before == cluster.look()


def test_wiping(cluster: Cluster) -> None:
    """With the cluster's name as confirmation nothing of it is left on the nodes, nor its authority here."""
    ended = cluster.play("wipe", nodewise_confirm=cluster.net.name)
    assert 0 == ended.code, ended.said
    left = "ls -d /opt/nodewise/etcd /etc/nodewise/etcd /var/lib/nodewise/etcd /etc/systemd/system/etcd.service 2>/dev/null; true"
    assert {""} == set(cluster.everywhere(left).values())
    assert {"0"} == set(cluster.everywhere("pgrep --count --exact etcd || true").values())
    assert not cluster.net.pki.exists()
