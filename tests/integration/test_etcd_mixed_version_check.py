"""Two versions in one real cluster: what is written through one is read through the other, and what is not is said."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.etcd_cluster import EtcdCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd import mixed_versions
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import Member
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.mixed_versions import check_mixed_versions

PREFIX = "/nodewise/proof/run/"


@pytest.fixture(scope="module", params=[("3.3.25", "3.4.23"), ("3.4.23", "3.5.16")], ids="-".join)
def mixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A cluster in which n1 runs the new version and the others the old one; a value was planted before."""
    old, new = request.param
    made = EtcdCluster(tmp_path_factory.mktemp("etcd"), old)
    made.start()
    try:
        made.healthy()
        planted = asked(made, old=["n1", "n2", "n3"], new=[])
        assert (True, [], None) == (planted["changed"], planted["proved"], planted["before"])
        made.restart("n1", new)
        made.healthy()
        yield made
    finally:
        made.stop()


def asked(cluster: EtcdCluster, **options: Any) -> dict[str, Any]:
    """What the module returns."""
    return check_mixed_versions(
        {**cluster.options, "old": ["n2", "n3"], "new": ["n1"], "prefix": PREFIX, "deadline": 3.0, **options}
    )


def keys(cluster: EtcdCluster) -> list[str]:
    """The keys of proofs that there are."""
    rows = json.loads(cluster.ctl("get", "--prefix", "/nodewise/", "--write-out", "json")).get("kvs", [])
    return [base64.b64decode(row["key"]).decode() for row in rows]


def leases(cluster: EtcdCluster) -> int:
    """How many leases there are."""
    return cluster.ctl("lease", "list").count("\n") - 1


def test_both_ways_are_proved(mixed: EtcdCluster) -> None:
    """Each version reads what the other wrote, and what was written before; only what was planted stays."""
    found = asked(mixed)
    new, old = mixed.versions["n1"], mixed.version
    assert [("n2", old, "n1", new), ("n3", old, "n1", new), ("n1", new, "n2", old)] == [
        tuple(pair.values()) for pair in found["proved"]
    ]
    assert (False, True) == (found["changed"], found["before"])
    assert [f"{PREFIX}before"] == keys(mixed)
    assert found["seconds"] < 1


def test_a_read_that_differs_is_named(mixed: EtcdCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that has another value than was written is named with both versions and what it read, and no key stays."""
    honest = Member.call

    def lying(member: Member, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = honest(member, path, body)
        if (member.name, path) == ("n1", "kv/range") and (body or {}).get("serializable"):
            answer["kvs"][0]["value"] = base64.b64encode(b"older").decode()
        return answer

    monkeypatch.setattr(mixed_versions.Member, "call", lying)
    with pytest.raises(EtcdError, match=r"n2 \(.*\) wrote /nodewise/proof/run/by-n2 = .*, and n1 \(.*\) read 'older' serializably"):
        asked(mixed)
    assert [f"{PREFIX}before"] == keys(mixed)


def test_a_planted_value_that_is_lost_is_named(mixed: EtcdCluster) -> None:
    """What was written before the switch and reads otherwise now is said, with member and version."""
    mixed.ctl("put", "/nodewise/proof/other/before", "something else")
    with pytest.raises(EtcdError, match=r"n1 \(.*\) read 'something else' for /nodewise/proof/other/before"):
        asked(mixed, prefix="/nodewise/proof/other/")
    mixed.ctl("del", "/nodewise/proof/other/before")


def test_a_member_that_does_not_answer_proves_nothing(mixed: EtcdCluster) -> None:
    """Unknown is no proof: the member is named, with what it was asked."""
    mixed.kill("n2")
    try:
        with pytest.raises(EtcdError, match="n2 could not say its version: connection refused"):
            asked(mixed, deadline=0.2)
    finally:
        mixed.start("n2")
        mixed.healthy()


@pytest.mark.parametrize("prefix", ["", "/", "/data/", "/nodewise/proof"])
def test_no_other_key_can_be_touched(mixed: EtcdCluster, prefix: str) -> None:
    """Proofs are written below /nodewise/ alone."""
    with pytest.raises(EtcdError, match="nothing was written"):
        asked(mixed, prefix=prefix)


def test_in_check_mode_nothing_is_written(mixed: EtcdCluster) -> None:
    """Check mode asks nobody."""
    revision = mixed.healthy()["cluster"]["fingerprint_at"]
    given = {**mixed.options, "old": ["n2"], "new": ["n1"], "prefix": PREFIX, "deadline": 1.0}
    assert [] == check_mixed_versions(given, dry=True)["proved"]
    assert revision == mixed.healthy()["cluster"]["fingerprint_at"]


def test_when_no_old_member_is_left_nothing_stays(mixed: EtcdCluster) -> None:
    """The last call reads what was planted before the first switch, and leaves neither keys nor leases."""
    found = asked(mixed, old=[])
    assert (True, [], True) == (found["changed"], found["proved"], found["before"])
    assert ([], 0) == (keys(mixed), leases(mixed))
    assert asked(mixed, old=[])["before"] is None
