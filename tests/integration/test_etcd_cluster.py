"""Observing, handing over and backing up a real cluster of three, in each release that upgrades pass through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.etcd_cluster import EtcdCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import members_of
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.change import add, hand_over
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.snapshot import save, verify_digest
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import FilesError
from nodewise.model import Observation


@pytest.fixture(scope="module", params=["3.3.25", "3.4.23", "3.5.16"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A healthy cluster with a few keys in it."""
    made = EtcdCluster(tmp_path_factory.mktemp("etcd"), request.param)
    made.start()
    try:
        made.healthy()
        for number in range(5):
            made.ctl("put", f"key{number}", f"value-of-{number}")
        yield made
    finally:
        made.stop()


def member(observation: dict[str, Any], name: str) -> dict[str, Any]:
    """One member of an observation."""
    found: dict[str, Any] = next(one for one in observation["members"] if one["name"] == name)
    return found


def test_a_healthy_cluster_is_seen_whole(cluster: EtcdCluster) -> None:
    """Every field of every member is known, and the engine accepts the shape."""
    found = msgspec.convert(cluster.healthy(), Observation)
    assert [cluster.version] * 3 == [one.version for one in found.members]
    assert all(one.started_at and one.lag is not None and not one.errors for one in found.members)
    assert (2, []) == (found.cluster.quorum, found.cluster.alarms)


def test_the_node_s_own_environment_tells_etcdctl_nothing(cluster: EtcdCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints, certificates and proxies that root's environment has for somebody else: the members are asked all the same."""
    nowhere = "http://127.0.0.1:1"
    for name in ("ETCDCTL_ENDPOINTS", "ETCD_NAME", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nowhere)
    for name, value in (
        ("ETCDCTL_CACERT", "/nowhere"),
        ("ETCDCTL_API", "2"),
        ("ETCDCTL_WRITE_OUT", "table"),
        ("LANG", "tr_TR.UTF-8"),
    ):
        monkeypatch.setenv(name, value)
    assert cluster.healthy()["cluster"]["fingerprint"]


def test_an_idle_cluster_compacted_at_its_head_has_equal_fingerprints(cluster: EtcdCluster) -> None:
    """Where no revision is left to hash at the heads are compared, also when a member has restarted since; nothing is written."""
    revision = cluster.healthy()["cluster"]["fingerprint_at"]
    cluster.ctl("compact", str(revision))
    assert revision == cluster.healthy()["cluster"]["fingerprint_at"]
    cluster.kill("n3")
    cluster.start("n3")
    found = cluster.healthy()["cluster"]
    assert revision == found["fingerprint_at"]
    assert found["fingerprint"].endswith(f"@{revision}")


def test_fingerprints_are_equal_under_writes(cluster: EtcdCluster) -> None:
    """Members that stand at different revisions are compared at one that all have."""
    done = threading.Event()

    def write() -> None:
        one = members_of(cluster.options)[2]
        one.version()
        while not done.is_set():
            one.call("kv/put", {"key": "aw==", "value": "dg=="})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [cluster.healthy()["cluster"]["fingerprint_at"] for _ in range(5)]
    finally:
        done.set()
        writer.join()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_leadership_goes_to_the_named_candidate(cluster: EtcdCluster) -> None:
    """The candidate leads when the call returns; asked again of the old leader, nothing changes."""
    old = cluster.healthy()["cluster"]["leader"]
    new = next(name for name in ("n3", "n2") if name != old)
    options = {**cluster.options, "member": old, "candidates": [new]}
    first = hand_over(options)
    assert (True, new) == (first["changed"], first["leader"])
    assert new == cluster.healthy()["cluster"]["leader"]
    again = hand_over(options)
    assert (False, new) == (again["changed"], again["leader"])


def test_leadership_that_nobody_takes_stays(cluster: EtcdCluster) -> None:
    """In check mode the candidate is only named; of candidates that cannot lead it is said why, and the leader leads on."""
    leader = cluster.healthy()["cluster"]["leader"]
    options = {**cluster.options, "member": leader, "candidates": []}
    planned = hand_over(options, dry=True)
    assert (True, leader) == (planned["changed"], planned["previous"])
    assert planned["leader"] in {"n1", "n2", "n3"} - {leader}
    down = planned["leader"]
    cluster.kill(down)
    try:
        with pytest.raises(EtcdError, match=rf"from {leader} \(other: not a member; {down}: .*\); it still leads"):
            hand_over({**options, "candidates": ["other", down]})
    finally:
        cluster.start(down)
    assert leader == cluster.healthy()["cluster"]["leader"]
    with pytest.raises(EtcdError, match=r"other is not among the members \(n1, n2, n3\)"):
        hand_over({**options, "member": "other"})


def added(options: dict[str, Any]) -> dict[str, Any]:
    """What adding returned, once etcd takes a change: each member has to have seen the others for five seconds without a break."""
    end = time.monotonic() + 30
    while True:
        try:
            return add(options)
        except EtcdError as error:
            if "unhealthy cluster" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.2)


def test_a_member_is_added_once(cluster: EtcdCluster) -> None:
    """Check mode lists nobody; the second time the member is found, by the address at which it will listen to its peers."""
    options = {**cluster.options, "member": "n4", "peer_url": "https://127.0.0.1:1"}
    assert {"changed": True, "id": None} == add(options, dry=True)
    assert 3 == len(cluster.ctl("member", "list").splitlines())
    first = added(options)
    try:
        assert first["changed"]
        assert first["id"] in cluster.ctl("member", "list")
        assert {"changed": False, "id": first["id"]} == add(options)
        assert 4 == len(cluster.ctl("member", "list").splitlines())
    finally:
        cluster.ctl("member", "remove", first["id"])
    cluster.healthy()


def test_no_member_is_added_while_another_is_down(cluster: EtcdCluster) -> None:
    """It would raise the majority above those that are there. Nor is one added to nothing."""
    cluster.healthy()
    options = {**cluster.options, "member": "n4", "peer_url": "https://127.0.0.1:1"}
    cluster.kill("n3")
    try:
        with pytest.raises(EtcdError, match=r"n3: .*; expected every member to answer before one is added\. Nothing was changed"):
            add(options)
        assert 3 == len(cluster.ctl("member", "list").splitlines())
    finally:
        cluster.start("n3")
    cluster.healthy()
    alone = [one for one in options["members"] if one["name"] == "n1"]
    with pytest.raises(EtcdError, match="n1 has nobody to join"):
        add({**options, "member": "n1", "members": alone})


def test_a_snapshot_is_verified_and_alone(cluster: EtcdCluster, tmp_path: Path) -> None:
    """A snapshot holds the cluster's revision, and the older one beside it is gone."""
    options = {**cluster.options, "member": "n2", "owner": None}
    save({**options, "path": str(tmp_path / "one.db")})
    found = save({**options, "path": str(tmp_path / "two.db")})
    assert ["two.db"] == [path.name for path in tmp_path.iterdir()]
    assert found["revision"] == cluster.healthy()["cluster"]["fingerprint_at"]
    assert (found["size"], found["sha256"]) == verify_digest(found["path"])


@pytest.mark.parametrize(("damage", "says"), [(lambda data: data[:-100], "not whole"), (lambda data: b"x" + data[1:], "damaged")])
def test_a_damaged_snapshot_is_refused(cluster: EtcdCluster, tmp_path: Path, damage: Callable[[bytes], bytes], says: str) -> None:
    """A snapshot that was cut, or in which one byte changed, does not pass for a backup."""
    path = Path(save({**cluster.options, "member": "n1", "owner": None, "path": str(tmp_path / "one.db")})["path"])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EtcdError, match=says):
        verify_digest(str(path))


def test_a_snapshot_that_fails_leaves_nothing(cluster: EtcdCluster, tmp_path: Path) -> None:
    """Without a way to read the snapshot there is no backup, and no file either."""
    options = {**cluster.options, "member": "n1", "owner": "nobody-of-this-name", "path": str(tmp_path / "one.db")}
    with pytest.raises(FilesError, match="no such user"):
        save(options)
    assert list(tmp_path.iterdir()) == []


def test_an_alarm_is_seen(cluster: EtcdCluster) -> None:
    """NOSPACE is the cluster's alarm, with the member that raised it."""
    one = members_of(cluster.options)[1]
    one.version()
    identity = one.call("maintenance/status")["header"]["member_id"]
    one.call("maintenance/alarm", {"action": "ACTIVATE", "memberID": identity, "alarm": "NOSPACE"})
    try:
        assert ["NOSPACE n2"] == cluster.healthy()["cluster"]["alarms"]
    finally:
        one.call("maintenance/alarm", {"action": "DEACTIVATE", "memberID": identity, "alarm": "NOSPACE"})


def test_a_member_that_is_down_is_seen_as_down_and_cannot_lead(cluster: EtcdCluster) -> None:
    """The dead member has an error and no values, the others serve, and leadership is not handed to it."""
    leader = cluster.healthy()["cluster"]["leader"]
    dead = next(name for name in ("n2", "n3") if name != leader)
    before = member(cluster.healthy(), dead)["started_at"]
    cluster.kill(dead)
    found = cluster.observe()["observation"]
    assert (False, None, None) == (member(found, dead)["serving"], member(found, dead)["lag"], member(found, dead)["fingerprint"])
    assert member(found, dead)["errors"] == ["connection refused"]
    assert found["cluster"]["leader"] == leader
    with pytest.raises(EtcdError, match="it still leads"):
        hand_over({**cluster.options, "member": leader, "candidates": [dead]})
    cluster.start(dead)
    assert before < member(cluster.healthy(), dead)["started_at"]


def test_data_that_differs_is_named(cluster: EtcdCluster) -> None:
    """One value of equal length, replaced in a stopped member's file, is found, and the member that differs is named."""
    leader = cluster.healthy()["cluster"]["leader"]
    victim = next(name for name in ("n2", "n3") if name != leader)
    cluster.ctl("put", "secret", "PLANTED-VALUE-A")
    cluster.healthy()
    cluster.alter(victim, "PLANTED-VALUE-A", "PLANTED-VALUE-B")
    found = cluster.observe(serving=True, leader=True)["observation"]
    assert found["cluster"]["fingerprint"] is None
    assert [victim] == [one["name"] for one in found["members"] if any("fingerprint" in error for error in one["errors"])]
