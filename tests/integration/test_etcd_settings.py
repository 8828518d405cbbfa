"""Clusters that somebody else set up: with users, without a gateway, in plain text, over IPv6, at several URLs a member."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.etcd_cluster import EtcdCluster, programs

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import members_of
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.change import hand_over
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import Etcdctl
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.info import observe
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.mixed_versions import check_mixed_versions
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.recover import look
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.snapshot import save
from nodewise.model import Observation

PASSWORD = "p: ss'w\"ö$rd"  # noqa: S105  (as odd as they get)
NOBODY = "https://127.0.0.1:1"  # where nothing listens
NO_GATEWAY = ("--enable-grpc-gateway=false",)


@dataclass(frozen=True)
class Setting:
    """How a cluster was set up: options of EtcdCluster, etcd's own users, and what the inventory says differently."""

    options: dict[str, Any]
    users: str = ""  # who asks: by a password, or by the name in the certificate
    before: str = ""  # a URL before the one that answers
    given: dict[str, Any] = field(default_factory=dict)  # to the modules


BARE = {"cert": None, "key": None}  # only the members have certificates
NONE = {"ca": "/nowhere/ca.crt", "cert": "/nowhere/node.crt", "key": "/nowhere/node.key"}  # such nodes have none
SETTINGS = {
    "password": Setting({}, users="password"),
    "password-without-certificate": Setting(
        {"flags": ("--client-cert-auth=false", "--trusted-ca-file=")}, users="password", given=BARE
    ),
    "certificate": Setting({}, users="certificate"),
    "no-gateway": Setting({"flags": NO_GATEWAY}),
    "plain-text-password": Setting({"scheme": "http"}, users="password", given=NONE),
    "plain-text-password-no-gateway": Setting({"scheme": "http", "flags": NO_GATEWAY}, users="password", given=NONE),
    "ipv6": Setting({"host": "[::1]"}),
    "ipv6-several-urls-no-gateway": Setting({"host": "[::1]", "flags": NO_GATEWAY}, before=NOBODY),
    "several-urls": Setting({}, before=NOBODY),
}
VERSIONS = ("3.3.25", "3.4.23", "3.5.16")
ALWAYS = {("3.5.16", "certificate"), ("3.5.16", "plain-text-password"), ("3.4.23", "ipv6-several-urls-no-gateway")}
CASES = [
    pytest.param((version, name), marks=() if (version, name) in ALWAYS else pytest.mark.slow, id=f"{version}-{name}")
    for version in VERSIONS
    for name in SETTINGS
    if version != "3.3.25" or "gateway" not in name
]


class Other(EtcdCluster):
    """A cluster with a setting of somebody else's."""

    setting = Setting({})

    @property
    def options(self) -> dict[str, Any]:
        """Parameters of the modules, as the inventory would have them."""
        given = super().options
        if self.setting.before:
            given["members"] = [{**one, "url": f"{self.setting.before},{one['url']}"} for one in given["members"]]
        return given | self.setting.given

    def turn_auth_on(self) -> None:
        """Have users: root with a password, and one named as the first node's certificate is."""
        for name, password in (("root", PASSWORD), ("n1", "other")):
            self.ctl("user", "add", f"{name}:{password}")
            self.ctl("user", "grant-role", name, "root")
        self.ctl("auth", "enable")
        if self.setting.users == "password":
            self.login = ("root", PASSWORD)


def begun(folder: Path, version: str, name: str) -> Other:
    """A cluster with a setting, healthy, with a key in it."""
    setting = SETTINGS[name]
    made = Other(folder, version, **setting.options)
    made.setting = setting
    made.start()
    try:
        made.healthy()
        made.ctl("put", "key", "value")
        if setting.users:
            made.turn_auth_on()
    except BaseException:
        made.stop()
        raise
    return made


@pytest.fixture(scope="module", params=CASES)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Other]:
    """A cluster that somebody else set up."""
    made = begun(tmp_path_factory.mktemp("etcd"), *request.param)
    try:
        yield made
    finally:
        made.stop()


def test_it_is_seen_whole(cluster: Other) -> None:
    """Every field of every member is known, as of a cluster that we set up; seen once more, nothing in it has changed."""
    found = msgspec.convert(cluster.healthy(), Observation)
    assert [cluster.version] * 3 == [one.version for one in found.members]
    assert all(one.started_at and one.lag is not None and not one.errors for one in found.members)
    assert (2, []) == (found.cluster.quorum, found.cluster.alarms)
    assert found.cluster.fingerprint_at == cluster.healthy()["cluster"]["fingerprint_at"]


def test_leadership_moves(cluster: Other) -> None:
    """The leader hands over to the candidate; asked again, nothing changes."""
    old = cluster.healthy()["cluster"]["leader"]
    new = next(name for name in ("n3", "n2") if name != old)
    options = {**cluster.options, "member": old, "candidates": [new]}
    assert [(True, new), (False, new)] == [(done["changed"], done["leader"]) for done in (hand_over(options), hand_over(options))]


def test_a_snapshot_is_saved(cluster: Other, tmp_path: Path) -> None:
    """A backup comes from a member of it, and is whole."""
    found = save({**cluster.options, "member": "n2", "owner": None, "path": str(tmp_path / "one.db")})
    assert found["revision"] == cluster.healthy()["cluster"]["fingerprint_at"]


def test_writes_are_read_through_others(cluster: Other) -> None:
    """The proof of mixed versions writes and reads through each, and leaves nothing."""
    options = {**cluster.options, "old": ["n2", "n3"], "new": ["n1"], "prefix": "/nodewise/proof/run/", "deadline": 5.0}
    assert 3 == len(check_mixed_versions(options)["proved"])
    assert "" == cluster.ctl("get", "--prefix", "/nodewise/")


def test_a_member_is_looked_at(cluster: Other) -> None:
    """It is seen that it serves."""
    own = {"member": "n3", "data_dir": str(cluster.folder / "n3")}
    assert {"state": "serving", "version": cluster.version} == look({**cluster.options, **own})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Other]:
    """A cluster with users, which is asked with a password."""
    made = begun(tmp_path_factory.mktemp("etcd"), "3.5.16", "password-without-certificate")
    try:
        yield made
    finally:
        made.stop()


def test_a_user_that_may_not_is_named(guarded: Other) -> None:
    """Whom the members do not let in they do not serve; the error says as whom they were asked, and what names another."""
    for words in (("user", "add", "reader:reads"), ("role", "add", "none"), ("user", "grant-role", "reader", "none")):
        guarded.ctl(*words)
    nodes = guarded.folder / "pki/nodes"
    certificate = {"cert": str(nodes / "n3.crt"), "key": str(nodes / "n3.key")}
    for given, says in (
        ({"user": None}, "its authentication is on, and whom the node's certificate names may not: name a user"),
        ({"user": None, **certificate}, "its authentication is on, and whom the node's certificate names may not: name a user"),
        ({"password": "wrong"}, "user root of nodewise_etcd_user cannot log in: etcdserver: authentication failed"),
        (
            {"user": "reader", "password": "reads"},
            "its authentication is on, and user reader may not: name a user",
        ),
    ):
        found = observe({**guarded.options, **given, "timeout": 20.0})["observation"]
        assert [(False, True)] * 3 == [(one["serving"], says in "; ".join(one["errors"])) for one in found["members"]], found


def test_a_login_is_made_anew(guarded: Other) -> None:
    """A member that has forgotten who we are (its users changed) is told again, on the same connection."""
    (one, *_others) = members_of(guarded.options)
    one.version()
    question = ("kv/range", {"key": "a2V5"})
    assert one.call(*question)["kvs"]
    guarded.ctl("user", "add", "somebody:new")
    assert one.call(*question)["kvs"]


def test_the_password_stands_in_no_command_line(guarded: Other, tmp_path: Path) -> None:
    """Users of the node may read the arguments of every process: etcdctl finds the password elsewhere."""
    said = tmp_path / "etcdctl"
    said.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/words\nexec {guarded.options["etcdctl"]} "$@"\n')
    said.chmod(0o755)
    found = observe({**guarded.options, "etcdctl": str(said)})["observation"]
    assert found["cluster"]["fingerprint"]
    assert PASSWORD not in (tmp_path / "words").read_text()


def test_without_an_etcdctl_the_gateway_is_missed_by_name(tmp_path: Path) -> None:
    """What is off, and what is expected instead, is the error."""
    made = begun(tmp_path, "3.5.16", "no-gateway")
    try:
        found = observe({**made.options, "etcdctl": None})["observation"]
    finally:
        made.stop()
    says = "its gRPC gateway is off; expected an etcdctl on the node to ask instead"
    assert [True] * 3 == [says in "; ".join(one["errors"]) for one in found["members"]]


def test_two_versions_with_users_are_compared(tmp_path: Path) -> None:
    """A login that one version gave is unknown to the other: the new release's etcdctl makes one for each member."""
    made = begun(tmp_path, "3.4.23", "plain-text-password")
    try:
        made.restart("n1", "3.5.16")
        made.observe(serving=True, leader=True)
        asked = Etcdctl.of({**made.options, "etcdctl": str(programs("3.5.16") / "etcdctl")})
        found = [asked.hashkv(list(made.urls.values()), 0) for _ in range(3)]
    finally:
        made.stop()
    assert [(3, "")] * 3 == [(len(rows), error) for rows, error in found]
