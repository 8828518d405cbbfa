"""An upgrade is refused before the first stop when a restart would bring up something else than what runs, on a real member."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.cluster import until
from tests.system.etcd_cluster import NEW, Cluster, made

pytestmark = pytest.mark.slow

TO = "3.5.30"  # within a minor, so that going back is possible
OUTAGE = {"quorum_at_risk": "there is one member"}
DROP_INS, CONFIG, VARIABLES = "/etc/systemd/system/etcd.service.d", "/etc/nodewise/etcd/etcd.yml", "/etc/default/etcd"
PROGRAM = f"/opt/nodewise/etcd/releases/{NEW}/files/usr/bin/etcd"
READ, RESTART = "systemctl daemon-reload", "systemctl daemon-reload && systemctl restart etcd"


@pytest.fixture(scope="module")
def one(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001  (in that home)
    """One member, whose unit and files each test gives back."""
    with made(tmp_path_factory.mktemp("runs"), nodes=1, version=NEW) as cluster:
        yield cluster


@contextmanager
def changed(one: Cluster, line: str, back: str) -> Iterator[None]:
    """Have something changed on the node, and as it was afterwards."""
    (node,) = one.names
    one.root(node, line)
    try:
        yield
    finally:
        one.root(node, back)
        until(lambda: one.serves(node))


def drop_in(*settings: str) -> str:
    """A line that gives the unit a drop-in."""
    return f"mkdir -p {DROP_INS} && printf '%s\\n' '[Service]' {' '.join(repr(one) for one in settings)} >{DROP_INS}/own.conf"


def refused(one: Cluster) -> str:
    """Why an upgrade is refused; nothing was restarted, and no file is another one."""
    reason = one.refuse(to=TO, nodewise_waive=OUTAGE)
    assert reason.startswith(f"{one.names[0]}: ")
    return reason


def goes(one: Cluster, **variables: object) -> str:
    """What is said of an upgrade that would be begun."""
    ended = one.upgrade("--check", to=TO, **{"nodewise_waive": OUTAGE, **variables})
    assert ("planned", 0) == (ended.outcome, ended.code), ended.said
    return ended.said


def test_as_it_was_provisioned_and_restarted(one: Cluster) -> None:
    """Nothing differs, neither after provisioning nor after a restart by hand."""
    goes(one)
    one.root(one.names[0], RESTART)
    until(lambda: one.serves(one.names[0]))
    goes(one)


def test_a_drop_in_with_another_exec_start(one: Cluster) -> None:
    """Both values are named, whether systemd has read it or not; by its hash it is accepted, and told in the plan."""
    start = "ExecStart=/opt/nodewise/etcd/current/bin/etcd --config-file /etc/nodewise/etcd/etcd.yml"
    with changed(one, drop_in("ExecStart=", f"{start} --quota-backend-bytes 16777216"), f"rm -r {DROP_INS}; {READ}"):
        assert "the unit etcd differs" in refused(one)
        one.root(one.names[0], READ)
        reason = refused(one)
        assert "its arguments differ: now not given, after a restart --quota-backend-bytes 16777216; restart the member" in reason
        waivers = json.loads(reason.partition("-e '")[2].rstrip("'"))["nodewise_waive"]
        assert "waived on" in goes(one, nodewise_waive={**OUTAGE, **dict.fromkeys(waivers, "it comes with the release")})
    goes(one)


def test_an_environment_file(one: Cluster) -> None:
    """One that the process has is no difference; another value is, a line more is, and that it is gone."""
    begin = f"echo ETCD_MAX_TXN_OPS=128 >{VARIABLES}; {drop_in(f'EnvironmentFile={VARIABLES}')}; {RESTART}"
    with changed(one, begin, f"rm -rf {DROP_INS} {VARIABLES}; {RESTART}"):
        until(lambda: one.serves(one.names[0]))
        goes(one)
        with changed(one, f"echo ETCD_MAX_TXN_OPS=256 >{VARIABLES}", f"echo ETCD_MAX_TXN_OPS=128 >{VARIABLES}"):
            assert "its variable ETCD_MAX_TXN_OPS differs: now 128, after a restart 256; restart the member" in refused(one)
        goes(one)
        with changed(one, f"echo ETCD_TOKEN=x >>{VARIABLES}", f"sed -i /TOKEN/d {VARIABLES}"):
            assert "its variable ETCD_TOKEN differs: now not set, after a restart another one" in refused(one)
        with changed(one, f"mv {VARIABLES} /root/kept", f"mv /root/kept {VARIABLES}"):
            assert f"its EnvironmentFile {VARIABLES} is gone: now with it, after a restart none, so that it would" in refused(one)
        goes(one)


def test_a_configuration_that_changed(one: Cluster) -> None:
    """The file is named, and when it changed; put back with its time it is no difference."""
    with changed(one, f"cp -p {CONFIG} /root/kept; echo '# by hand' >>{CONFIG}", f"mv /root/kept {CONFIG}"):
        assert f"{CONFIG} changed after the process began: now as before " in refused(one)
    goes(one)


def test_a_program_that_was_replaced(one: Cluster) -> None:
    """What is on the disk by now is another program than the one that runs; the same content is none."""
    keep, back = f"mv {PROGRAM} /root/kept; cp -p /root/kept {PROGRAM}", f"mv /root/kept {PROGRAM}"
    with changed(one, keep, back):
        goes(one)
        one.root(one.names[0], f"printf x >>{PROGRAM}")
        assert "its program differs: now /root/kept (sha256 " in refused(one)
    goes(one)


def test_an_exec_start_that_does_not_go_through_the_link(one: Cluster) -> None:
    """The line to write is told, with the arguments that the member has."""
    own = f"ExecStart=/usr/local/bin/etcd --config-file {CONFIG} --max-txn-ops 256"
    begin = f"cp {PROGRAM} /usr/local/bin/etcd; {drop_in('ExecStart=', own)}; {RESTART}"
    with changed(one, begin, f"rm -r {DROP_INS} /usr/local/bin/etcd; {RESTART}"):
        until(lambda: one.serves(one.names[0]))
        reason = refused(one)
        assert "does not go through /opt/nodewise/etcd/current, which the upgrade switches" in reason
        assert f"ExecStart=/opt/nodewise/etcd/current/bin/etcd --config-file {CONFIG} --max-txn-ops 256 " in reason


def test_a_start_that_systemd_would_end(one: Cluster) -> None:
    """The unit's own limit is below the plan's deadline; as no process runs with it, no restart is asked for."""
    with changed(one, f"{drop_in('TimeoutStartSec=60')}; {READ}", f"rm -r {DROP_INS}; {READ}"):
        assert "systemd ends its start after 60 s (TimeoutStartSec), and the plan waits 120 s" in refused(one)
        goes(one, nodewise_deadline=60)
        one.root(one.names[0], f"{drop_in('TimeoutStartSec=infinity')}; {READ}")
        goes(one)


def test_as_it_was_upgraded_and_rolled_back(one: Cluster) -> None:
    """Nothing differs after an upgrade of ours, and nothing after a rollback."""
    assert one.upgrade(to=TO, nodewise_waive=OUTAGE).outcome == "upgraded"
    back = one.rollback(nodewise_waive=OUTAGE)
    assert ("rolled_back", {NEW}) == (back.outcome, one.versions()), back.said
    goes(one)
