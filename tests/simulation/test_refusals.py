"""What an upgrade is refused for, on one cluster under load that is left each time as it was; the evidence is named."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from nodewise.testnet import lifecycle, ssh
from nodewise.testnet.inventory import tree
from nodewise.testnet.request import Request
from tests.simulation.bad_days import bad_day, fault
from tests.system.cluster import short_lived, until
from tests.system.etcd_cluster import NEW, OLD, Cluster
from tests.system.tarballs import Shop, opened

STAGED = "ls -A /opt/nodewise/etcd/releases"
RELEASES, BACKUPS = "/opt/nodewise/etcd/releases", "/opt/nodewise/etcd/backups"


@pytest.fixture(scope="module")
def cluster(etcd: Cluster) -> Cluster:
    """Three members, never broken: what a test takes away it gives back."""
    return etcd.reset()


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A web server with tarballs."""
    with opened(cluster.net, tmp_path_factory.mktemp("shop")) as here:
        yield here


@contextmanager
def undone(cluster: Cluster, node: str, line: str, back: str) -> Iterator[None]:
    """Do something to a node, and take it back afterwards."""
    cluster.root(node, line)
    ssh.close(cluster.net.name)
    try:
        yield
    finally:
        cluster.root(node, back)


def third(cluster: Cluster) -> str:
    """A member that does not lead."""
    return next(name for name in reversed(cluster.names) if name != cluster.leader())


@pytest.mark.slow
def test_a_corrupt_artifact(cluster: Cluster, shop: Shop) -> None:
    """The artifact is named with both checksums, and nothing half-staged stays on any node."""
    release = shop.offer(NEW, {"etcd": b"not what was meant"}, sha256="0" * 64)
    with bad_day(cluster, "artifact corrupt") as day:
        named = f"stage failed on {', '.join(cluster.names)}: etcd-{NEW}", "expected 0000000000000000"
        day.refused(*named, nodewise_releases=release)
    assert {OLD} == set(cluster.everywhere(STAGED).values())


@pytest.mark.slow
def test_a_verification_that_there_is_not(cluster: Cluster) -> None:
    """What an operator asks for is never left out in silence."""
    with bad_day(cluster, "no way to verify") as day:
        day.refused("etcd has no deep check", nodewise_deep_check=True)


RESTARTER = "/usr/sbin/needrestart"
AT_WORK = f"printf '#!/usr/bin/perl -w\\nsleep 600;\\n' >{RESTARTER}; chmod +x {RESTARTER}; systemd-run -q -u restarter {RESTARTER}"


@pytest.mark.slow
def test_services_that_are_restarted(cluster: Cluster) -> None:
    """Whoever restarts services on a node by itself is named with its number."""
    node = third(cluster)
    with (
        bad_day(cluster, "needrestart at work on a node") as day,
        undone(cluster, node, AT_WORK, f"systemctl stop restarter; rm {RESTARTER}"),
    ):
        pid = cluster.root(node, "systemctl show restarter -P MainPID")
        day.refused(f"{node}: needrestart (pid {pid}) is at work and may restart services")


@pytest.mark.slow
def test_a_download_server_that_is_down_for_one_node(cluster: Cluster, shop: Shop) -> None:
    """The node that cannot fetch it is named; what the others have staged is whole, and changes nothing."""
    node, port = third(cluster), urlsplit(shop.url).port
    nft = "nft add table inet bad; nft add chain inet bad out '{ type filter hook output priority 0; }'; nft add rule inet bad out"
    release = shop.offer("3.5.98", {"etcd": b"never started"})
    with (
        bad_day(cluster, "download server down for one node") as day,
        undone(cluster, node, f"{nft} tcp dport {port} reject with tcp reset", "nft delete table inet bad"),
    ):
        reason = str(day.upgrade("refused", to="3.5.98", nodewise_releases=release).summary["reason"])
        assert f"stage failed on {node}: etcd-3.5.98" in reason
        assert "could not be fetched" in reason
    assert "3.5.98" not in cluster.root(node, STAGED).split()
    cluster.everywhere(f"rm -rf {RELEASES}/3.5.*")


@pytest.mark.slow
def test_a_disk_that_is_full_while_staging(cluster: Cluster, shop: Shop) -> None:
    """A tarball that holds more than it says fills one node's disk: that node is named, and what was half there is gone."""
    node = third(cluster)
    small = (
        f"cp -a {RELEASES} /tmp/kept && mount -t tmpfs -o size=$(( $(du -sm /tmp/kept | cut -f1) + 80 ))m,mode=755 full {RELEASES}"
    )
    release = shop.offer(NEW, {"etcd": bytes(200 << 20)})
    release[NEW]["artifacts"][0]["size"] = 1
    with (
        bad_day(cluster, "disk full while staging") as day,
        undone(cluster, node, f"{small} && cp -a /tmp/kept/. {RELEASES}", f"umount {RELEASES}; rm -r /tmp/kept"),
    ):
        reason = str(day.upgrade("refused", nodewise_releases=release).summary["reason"])
        assert f"stage failed on {node}: " in reason
        assert "No space left on device" in reason
        assert OLD == cluster.root(node, STAGED)
    cluster.everywhere(f"rm -rf {RELEASES}/{NEW}")


@pytest.mark.slow
def test_a_disk_that_is_full_while_backing_up(cluster: Cluster) -> None:
    """There is no upgrade without a backup: the leader's node is named, with what is free and what is needed."""
    node = cluster.leader()
    full = f"mkdir -p -m 711 {BACKUPS} && mount -t tmpfs -o size=1m full {BACKUPS}"
    with bad_day(cluster, "disk full while backing up") as day, undone(cluster, node, full, f"umount {BACKUPS}"):
        day.refused(f"secure failed on {node}: {BACKUPS} has ", "make room")


@pytest.mark.slow
def test_a_backup_that_does_not_verify(cluster: Cluster) -> None:
    """A snapshot of which one byte is another is no backup, and is not kept."""
    node, tool = cluster.leader(), "/opt/bad-etcdctl"
    script = """#!/bin/sh
/opt/nodewise/etcd/current/bin/etcdctl "$@" || exit
for f; do case "$f" in */backups/*) [ -f "$f" ] && printf X | dd of="$f" bs=1 seek=100000 conv=notrunc ;; esac; done
exit 0
"""
    written = f"echo {base64.b64encode(script.encode()).decode()} | base64 -d >{tool}; chmod +x {tool}"
    with bad_day(cluster, "backup does not verify") as day:
        cluster.everywhere(written)
        try:
            day.refused(f"secure failed on {node}: ", "it is damaged", nodewise_etcdctl=tool)
        finally:
            cluster.everywhere(f"rm {tool}")
    assert "" == cluster.root(node, f"ls {BACKUPS} | grep -v [.]db$ || true")


def test_an_unreachable_node(cluster: Cluster) -> None:
    """A member that answers nobody is named, and no other is touched."""
    node = third(cluster)
    with bad_day(cluster, "a node unreachable") as day, undone(cluster, node, "systemctl stop ssh", "systemctl start ssh"):
        day.refused(f"{node} did not answer", code=4)  # Ansible's own, for a host out of reach


def test_a_stopped_member(cluster: Cluster) -> None:
    """A member that does not serve is named, by status, too; stopping another would end the cluster, and a limit hides nothing."""
    node = third(cluster)
    with bad_day(cluster, "a member stopped") as day:
        with fault(cluster, "stop", target=node):
            day.refused(f'members_serving: not every member serves; found [{{"name":"{node}"')
            status = cluster.play("status")
            assert 2 == status.code
            assert f"{node}  unknown  unknown, DOES NOT SERVE" in status.said
            assert "members_serving: not every member serves" in status.said
        day.before[node] += 1  # by this test
    with bad_day(cluster, "--limit to one, another member stopped") as day:
        with fault(cluster, "stop", target=node):
            first = next(name for name in cluster.names if name != node)
            day.refused("--limit leaves out ", node, words=["--limit", first])
        day.before[node] += 1  # by this test


@pytest.mark.slow
def test_an_alarm(cluster: Cluster) -> None:
    """A cluster that takes no writes is not upgraded; the alarm is named."""
    with bad_day(cluster, "NOSPACE alarm") as day:
        _raise_alarm(cluster)
        try:
            day.refused("NOSPACE")
        finally:
            cluster.etcdctl(cluster.names[0], "alarm disarm")


def _raise_alarm(cluster: Cluster) -> None:
    """What a member does whose database has reached its quota, by the same call."""
    context = ssl.create_default_context(cafile=cluster.net.pki / "ca.crt")
    context.load_cert_chain(cluster.net.pki / "client.crt", cluster.net.pki / "client.key")
    base = f"https://{cluster.net.nodes[0].address}:2379/v3/"

    def post(path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
        with urllib.request.urlopen(base + path, json.dumps(body).encode(), context=context) as answer:  # noqa: S310 https
            return dict(json.load(answer))

    member = post("maintenance/status", {})["header"]["member_id"]
    post("maintenance/alarm", {"action": "ACTIVATE", "memberID": member, "alarm": "NOSPACE"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("day_of", "words", "named"),
    [("a learner", "--learner", "learner"), ("a member unknown to the inventory", "", "members_expected")],
    ids=["learner", "member"],
)
def test_a_member_that_is_not_of_the_inventory(cluster: Cluster, day_of: str, words: str, named: str) -> None:
    """One that was added by hand is found, whether it counts for the quorum or not."""
    first, url = cluster.names[0], f"https://{cluster.net.nodes[0].address.rsplit('.', 1)[0]}.99:2380"
    ghost = cluster.etcdctl(first, f"member add ghost {words} --peer-urls {url}").split()[1]
    try:
        with bad_day(cluster, day_of) as day:
            day.healthy = False
            day.refused(named)
    finally:
        cluster.etcdctl(first, f"member remove {ghost}")


@pytest.mark.slow
def test_a_host_that_is_no_member(cluster: Cluster, tmp_path: Path) -> None:
    """A host that the inventory has and the cluster has not is named."""
    hosts, file = tree([cluster.net]), tmp_path / "hosts.yml"
    members = hosts[cluster.net.name]["hosts"]
    members["ghost"] = members[cluster.names[0]]
    file.write_text(yaml.safe_dump(hosts))
    with bad_day(cluster, "a host that is no member") as day:
        day.refused("ghost", words=["-i", str(file)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("days", "says", "named"),
    [(0, "expired", "certificate has expired"), (1, "expiring", "/node.crt ends at ")],
    ids=["expired", "expiring"],
)
def test_a_certificate(cluster: Cluster, tmp_path: Path, days: int, says: str, named: str) -> None:
    """A node whose certificate ends may not come back after a restart: it is named, with the file."""
    node = third(cluster)
    with bad_day(cluster, f"{says} certificate") as day, short_lived(cluster, node, days, tmp_path):
        ssh.close(cluster.net.name)
        day.refused(node, named)


@pytest.mark.slow
def test_a_configuration_that_the_process_does_not_have(cluster: Cluster) -> None:
    """A file that changed since the process began would come up with the new version: it is named."""
    node, file = third(cluster), "/etc/nodewise/etcd/etcd.yml"
    with (
        bad_day(cluster, "configuration on disk differs") as day,
        undone(cluster, node, f"cp -p {file} /tmp/kept && echo '# by hand' >>{file}", f"mv /tmp/kept {file}"),
    ):
        day.refused(f"{node}: {file} changed after the process began")


UNIT, VARIABLES = "/etc/systemd/system/etcd.service.d", "/etc/default/etcd"
CONFIG, PROGRAM = "/etc/nodewise/etcd/etcd.yml", f"{RELEASES}/{OLD}/files/usr/bin/etcd"


def drop_in(*settings: str) -> str:
    """A line that gives the unit a drop-in."""
    return f"mkdir -p {UNIT} && printf '%s\\n' '[Service]' {' '.join(map(repr, settings))} >{UNIT}/own.conf"


RESTART = "systemctl daemon-reload && systemctl restart etcd"
DIRECT = drop_in("ExecStart=", f"ExecStart=/usr/local/bin/etcd --config-file {CONFIG}")
WITH_FILE = f"echo ETCD_MAX_TXN_OPS=128 >{VARIABLES}; {drop_in(f'EnvironmentFile={VARIABLES}')}"
# What a restart would bring up: what is done before a restart, what after it, how it is taken back, and what is named.
BROUGHT = {
    "ExecStart not through the link": (
        f"cp {PROGRAM} /usr/local/bin/etcd; {DIRECT}",
        "true",
        f"rm -r {UNIT} /usr/local/bin/etcd",
        "does not go through /opt/nodewise/etcd/current, which the upgrade switches",
    ),
    "EnvironmentFile changed": (
        WITH_FILE,
        f"echo ETCD_MAX_TXN_OPS=256 >{VARIABLES}",
        f"rm -r {UNIT} {VARIABLES}",
        "its variable ETCD_MAX_TXN_OPS differs: now 128, after a restart 256",
    ),
    "EnvironmentFile gone": (WITH_FILE, f"rm {VARIABLES}", f"rm -r {UNIT}", f"its EnvironmentFile {VARIABLES} is gone"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROUGHT)
def test_what_a_restart_would_bring_up(cluster: Cluster, name: str) -> None:
    """The unit's own start and its variables are named before anything is stopped, with both values."""
    node, (first, then, back, named) = third(cluster), BROUGHT[name]
    with bad_day(cluster, name) as day, undone(cluster, node, f"{first}; {RESTART}", f"{back}; {RESTART}"):
        day.before[node] += 2  # by this test
        until(lambda: cluster.serves(node))
        cluster.root(node, then)
        day.refused(f"{node}: ", named)


@pytest.mark.slow
def test_a_program_that_was_replaced(cluster: Cluster) -> None:
    """The file that a restart would start is another than the one that runs."""
    node = third(cluster)
    begin = f"mv {PROGRAM} /root/kept; cp -p /root/kept {PROGRAM}; printf x >>{PROGRAM}"
    with (
        bad_day(cluster, "binary replaced under a running process") as day,
        undone(cluster, node, begin, f"mv /root/kept {PROGRAM}"),
    ):
        day.refused(f"{node}: its program differs: now ", "(sha256 ")


@pytest.mark.slow
def test_no_way_back(cluster: Cluster) -> None:
    """The version that runs is not what was staged: that is found before the first stop, not by an undo that fails."""
    node, file = third(cluster), f"{RELEASES}/{OLD}/release.json"
    with (
        bad_day(cluster, "no way back staged") as day,
        undone(cluster, node, f"mv {file} /root/kept", f"mv /root/kept {file}"),
    ):
        reason = str(day.upgrade("refused").summary["reason"])
        assert f"stage failed on {node}: {OLD} runs and could not be put back: it has no readable release.json" in reason
    cluster.everywhere(f"rm -rf {RELEASES}/{NEW}")


@pytest.mark.slow
def test_what_something_else_installed_is_put_back(cluster: Cluster) -> None:
    """A member whose link leads to a folder of somebody else's: it is kept aside, and the node goes back to it."""
    node = next(name for name in cluster.names if name != cluster.leader())  # the canary
    hand, link = "/usr/local/etcd", "/opt/nodewise/etcd/current"
    begin = f"mkdir -p {hand} && cp -aL {RELEASES}/{OLD}/bin {hand}/ && mv {RELEASES}/{OLD} /root/kept && ln -sfn {hand} {link}"
    back = f"rm -r {hand} {RELEASES}/{OLD} && mv /root/kept {RELEASES}/{OLD} && ln -sfn releases/{OLD} {link}"
    gates = {"never": {"that": "length(now.members) > `9`", "fail_msg": "this is a test"}}
    with (
        bad_day(cluster, "installed by hand, and put back") as day,
        undone(cluster, node, f"{begin} && {RESTART}", f"{back}; {RESTART}"),
    ):
        day.before[node] += 2  # by this test
        until(lambda: cluster.serves(node))
        ended = day.upgrade("rolled_back", nodewise_gates=gates)
        assert f"It is back on {OLD}, " in ended.said
        assert f"{RELEASES}/{OLD}/files/bin/etcd" == cluster.root(node, "readlink /proc/$(systemctl show -P MainPID etcd)/exe")
        day.restarted = {node: 2}
    cluster.everywhere(f"rm -rf {RELEASES}/{NEW}")


@pytest.mark.slow
def test_all_nodes_unreachable(cluster: Cluster) -> None:
    """The run has a record, says which, and ends with Ansible's own code."""
    with ExitStack() as stack:
        day = stack.enter_context(bad_day(cluster, "all nodes unreachable"))
        for node in cluster.names:
            stack.enter_context(undone(cluster, node, "systemctl stop ssh", "systemctl start ssh"))
        day.refused(f"{', '.join(cluster.names)} did not answer", code=4)


@pytest.mark.slow
def test_wiped_beside_another(cluster: Cluster, new_name: Callable[[], str]) -> None:
    """A cluster is wiped whose authority lies in this one's folder: what this one has there stays to the letter, and it serves."""
    name, folder = new_name(), cluster.net.pki
    other = Cluster(
        lifecycle.up(Request(name, 1, system="etcd", version=OLD, variables={"nodewise_pki_dir": str(folder)})), cluster.runs
    )

    def ours() -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file() and name not in path.name)
        return {str(path): path.read_bytes() for path in files}

    before = ours()
    with bad_day(cluster, "wipe beside another cluster's authority") as day:
        began = time.monotonic()
        ended = other.play("wipe", nodewise_confirm=name)
        assert 0 == ended.code, ended.said
        day.outcomes.append("wiped")
        day.seconds = time.monotonic() - began
        assert before == ours()
        assert not list(folder.rglob(f"*{name}*"))
        assert "" == other.root(other.names[0], "ls -d /opt/nodewise/etcd /etc/nodewise/etcd 2>/dev/null || true")
