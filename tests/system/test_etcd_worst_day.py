"""The worst days of an etcd cluster: a member that is down, one that lost everything, data that differs; they share a cluster."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.releases import sources
from nodewise.releases.rules import load_rules
from nodewise.testnet.home import checkout
from tests.system.divergence import alter
from tests.system.etcd_cluster import ETCDCTL, NEW, OLD, Cluster, Ended

pytestmark = pytest.mark.slow
EVERYTHING = """systemctl disable --quiet --now etcd; rm -rf /var/lib/nodewise /etc/nodewise /opt/nodewise/etcd \
/etc/systemd/system/etcd.service; systemctl daemon-reload; userdel etcd"""


@pytest.fixture(scope="module")
def cluster(etcd: Cluster) -> Cluster:
    """Three members that survive what is done to them."""
    return etcd.reset()


def recover(cluster: Cluster, node: str, version: str = OLD) -> Ended:
    """Have a member brought back on a version."""
    release = sources.resolve(load_rules(checkout() / "roles/etcd"), version, {}, os.uname().machine)
    step: dict[str, Any] = {"node": node, "version": version, "release": msgspec.to_builtins(release), "deadline": 60}
    return cluster.play("../tests/system/recover", nodewise_step=step)


def put(cluster: Cluster, node: str, key: str, value: str) -> None:
    """Write through a member; where the leader was killed just now an election comes first."""
    cluster.root(node, f"for try in 1 2 3 4 5 6; do ({ETCDCTL} put {key} {value}) && exit; sleep 1; done; exit 1")


def test_a_member_that_serves_is_left_alone(cluster: Cluster) -> None:
    """Nothing is changed on any node."""
    _, _, n3 = cluster.names
    before = cluster.look()
    ended = recover(cluster, n3)
    assert (0, before) == (ended.code, cluster.look()), ended.said


def test_a_member_that_is_down_is_started_with_its_data(cluster: Cluster) -> None:
    """Stopped, and the others already gone on: it is back, on its own data."""
    n1, _, n3 = cluster.names
    others = {name: count for name, count in cluster.starts().items() if name != n3}
    cluster.root(n3, "systemctl kill --signal=KILL etcd; systemctl stop etcd")
    put(cluster, n1, "while-n3-was-down", "yes")
    ended = recover(cluster, n3)
    assert 0 == ended.code, ended.said
    assert "yes" in cluster.etcdctl(n3, "get --consistency=s while-n3-was-down")
    assert others == {name: count for name, count in cluster.starts().items() if name != n3}
    assert cluster.data_whole()


def test_a_member_on_new_hardware_comes_anew(cluster: Cluster) -> None:
    """No unit, no user, no certificates, no data: it is a member again with all the data, and starts at boot."""
    _, n2, _ = cluster.names
    others = {name: count for name, count in cluster.starts().items() if name != n2}
    cluster.root(n2, EVERYTHING)
    ended = recover(cluster, n2)
    assert 0 == ended.code, ended.said
    assert "enabled" == cluster.root(n2, "systemctl is-enabled etcd")
    assert others == {name: count for name, count in cluster.starts().items() if name != n2}
    assert 0 == cluster.play("status").code
    assert cluster.data_whole()


def test_data_that_differs_is_refused_by_name(cluster: Cluster) -> None:
    """The upgrade is refused, and says at which revision which member has which hash; put right again, it is healthy."""
    n1, _, n3 = cluster.names
    put(cluster, n1, "divergence", "PLANTED-VALUE-A")
    alter(cluster, n3, "divergence", "PLANTED-VALUE-B")
    assert "PLANTED-VALUE-B" in cluster.etcdctl(n3, "get --consistency=s divergence")
    assert "PLANTED-VALUE-A" in cluster.etcdctl(n1, "get --consistency=s divergence")
    reason = cluster.refuse(to=NEW)
    seen = json.loads(cluster.etcdctl(n3, "endpoint hashkv --write-out json"))[0]["HashKV"]
    assert "fingerprints_equal: the members' data is not proved to be equal" in reason
    assert f'{{"name":"{n3}","fingerprint":"{seen["hash"]}@{seen["compact_revision"]}","errors":["fingerprint ' in reason
    assert f'"at":{seen["header"]["revision"]},' in reason
    alter(cluster, n3, "divergence", "PLANTED-VALUE-A")
    assert 0 == cluster.play("status").code


@pytest.fixture(scope="module")
def backup(cluster: Cluster) -> str:
    """The backup of an upgrade that went beyond the point of no return, with something written since."""
    ended = cluster.upgrade()
    assert "upgraded" == ended.outcome, ended.said
    put(cluster, cluster.names[0], "after-the-backup", "lost")
    return str(next((ended.folder / "backup").iterdir()))


def refused(cluster: Cluster, says: str, **variables: Any) -> None:
    """A restore is refused with these words, and nothing is changed on any node."""
    before = cluster.look()
    ended = cluster.play("restore", **variables)
    assert (2, before) == (ended.code, cluster.look()), ended.said
    assert re.search(says, ended.said), ended.said


def test_without_confirmation_it_is_said_what_would_be_lost(cluster: Cluster, backup: str) -> None:
    """The revisions that would be lost are named, and how to do it; another name is no confirmation."""
    name = cluster.net.name
    much = r"revisions \d+ to \d+, \d+ of them( or more, [^.]*)?"
    words = rf"with {OLD}\.\s+Lost is everything written since .*: {much}\. .*nodewise_confirm={name}"
    refused(cluster, words, nodewise_backup=backup)
    refused(cluster, words, nodewise_backup=backup, nodewise_confirm="another")


def test_what_is_no_backup_is_refused(cluster: Cluster, backup: str, tmp_path: Path) -> None:
    """None, one of no run, one whose content changed, and a version that cannot read it."""
    given = {"nodewise_confirm": cluster.net.name}
    refused(cluster, "no backup was given", **given)
    copy = tmp_path / "run" / "backup" / Path(backup).name
    shutil.copytree(Path(backup).parent.parent, tmp_path / "run")
    copy.write_bytes(b"x" + copy.read_bytes()[1:])
    refused(cluster, "has sha256 .* it is not the backup", nodewise_backup=str(copy), **given)
    refused(cluster, "3.3.25 cannot read what 3.4.23 wrote", nodewise_backup=backup, nodewise_to="3.3.25", **given)


def test_while_somebody_holds_the_cluster_nothing_is_restored(cluster: Cluster, backup: str) -> None:
    """The holder is named."""
    lease = {"run": "r1", "who": "somebody", "expires": time.time() + 600, "ttl": 600, "taken_at": "now", "before": None}
    held = json.dumps({"fence": 9, "lease": lease, "upgrade": None})
    file, node = "/opt/nodewise/etcd/state.json", cluster.names[2]
    cluster.root(node, f"cp -p {file} /root/state.json; echo {shlex.quote(held)} > {file}")
    try:
        refused(cluster, "run r1 of somebody holds", nodewise_backup=backup, nodewise_confirm=cluster.net.name)
    finally:
        cluster.root(node, f"mv /root/state.json {file}")


def test_a_restore_that_fails_half_way_is_gone_on_with(cluster: Cluster, backup: str) -> None:
    """A node whose member does not start: how to go on is said, and the same command again restores all; no data is deleted."""
    given = {"nodewise_backup": backup, "nodewise_confirm": cluster.net.name}
    drop, node = "/etc/systemd/system/etcd.service.d", cluster.names[2]
    broken = f"mkdir {drop} && printf '[Service]\\nExecStartPre=/bin/false\\n' > {drop}/broken.conf && systemctl daemon-reload"
    cluster.root(node, broken)
    ended = cluster.play("restore", **given)
    assert 2 == ended.code, ended.said
    assert "The same command again begins anew" in ended.said
    cluster.root(node, f"rm -r {drop} && systemctl daemon-reload")
    ended = cluster.play("restore", **given)
    assert 0 == ended.code, ended.said
    assert "is restored from" in ended.said
    assert "Lost is everything written since" in ended.said
    assert {OLD} == cluster.versions()
    assert 0 == cluster.play("status").code
    assert cluster.data_whole()
    assert "" == cluster.etcdctl(node, "get after-the-backup")
    kept = cluster.everywhere(
        "ls -d /var/lib/nodewise/etcd.before-restore-*/member | wc -l; ls -d /var/lib/nodewise/*restored* | wc -l"
    )
    assert {"2\n0"} == {text.replace("\r", "") for text in kept.values()}
