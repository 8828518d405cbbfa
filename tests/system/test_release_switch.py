"""Staging and switching on a node with a real systemd, by a real etcd of one member."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nodewise.releases import sources
from nodewise.releases.rules import load_rules
from nodewise.testnet import lifecycle
from nodewise.testnet.request import Request
from tests.system.host import PLACE, Host

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = "3.4.23", "3.5.16"
UNIT = f"""[Service]
Type=notify
ExecStart={PLACE["root"]}/current/bin/etcd --data-dir=/var/lib/demo
Restart=on-failure
RestartSec=100ms
"""
SILENT = UNIT.replace("ExecStart=", "ExecStart=/usr/bin/sleep 1000\n#")
STUBBORN = SILENT.replace("Type=notify", "Type=exec\nTimeoutStopSec=60").replace(
    "/usr/bin/sleep 1000", "/usr/bin/python3 -c 'import signal; signal.signal(15, signal.SIG_IGN); signal.pause(); signal.pause()'"
)
# The cluster follows its member to the new minor some moments later; only then can it not go back.
UNTIL_AFTER = "until journalctl _PID=$(systemctl show -P MainPID demo) | grep -q 'cluster-version.*3.5'; do sleep 0.1; done"


@pytest.fixture(scope="module")
def staged(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:  # noqa: ARG001  (is made in that home)
    """A node with both releases staged, and the unit that has never run."""
    net = lifecycle.up(Request(f"t{secrets.token_hex(3)}", nodes=1))
    try:
        host = Host(net, tmp_path_factory.mktemp("host"))
        rules = load_rules(ROOT / "roles/etcd")
        for version in (OLD, NEW):
            release = sources.resolve(rules, version, {}, os.uname().machine)
            answer = host.ask("release_stage", **PLACE, **msgspec.to_builtins(release))
            assert answer.get("changed"), answer
        host.unit(UNIT)
        host.shell("cp /etc/systemd/system/demo.service /var/tmp/")
        yield host
    finally:
        lifecycle.down(net.name)


@pytest.fixture
def host(staged: Host) -> Iterator[Host]:
    """The node with a new member that runs the old version; one that does not stop by itself is killed afterwards."""
    answer = staged.switch(OLD)
    assert answer.get("active") == "active", answer
    staged.before = answer["pid"]
    yield staged
    staged.shell("systemctl kill -s KILL demo; systemctl stop demo; rm -rf /var/lib/demo")
    staged.shell("cp /var/tmp/demo.service /etc/systemd/system/")


def test_switch_and_again(host: Host) -> None:
    """The unit runs from the new release and says where it was before; a second time it is not restarted."""
    answer = host.switch(NEW)
    assert (True, OLD, NEW, "active") == tuple(answer[key] for key in ("changed", "previous", "version", "active"))
    assert answer["exe"].startswith(f"{PLACE['root']}/releases/{NEW}/")
    assert f"releases/{NEW}" == host.linked()
    again = host.switch(NEW)
    assert (False, answer["pid"], answer["started_at"]) == tuple(again[key] for key in ("changed", "pid", "started_at"))
    assert answer["pid"] == host.pid()


def test_check_mode_changes_nothing(host: Host) -> None:
    """In check mode the answer is that it would change, and nothing is stopped."""
    answer = host.ask("release_switch", check=True, **PLACE, unit="demo", version=NEW)
    assert (True, host.before) == (answer["changed"], host.pid())
    assert f"releases/{OLD}" == host.linked()


def test_check_mode_before_anything_is_there(host: Host) -> None:
    """A version that no task has staged yet, and a unit that none has written, would be switched to; a damaged one is refused."""
    answer = host.ask("release_switch", check=True, **PLACE, unit="another", version="9.9.9")
    assert (True, None, "not-found") == tuple(answer.get(key) for key in ("changed", "pid", "load")), answer
    host.shell(f"mkdir {PLACE['root']}/releases/9.9.9")
    assert (
        "9.9.9 has no readable release.json" in host.ask("release_switch", check=True, **PLACE, unit="demo", version="9.9.9")["msg"]
    )
    host.shell(f"rmdir {PLACE['root']}/releases/9.9.9")


def test_release_that_is_not_staged(host: Host) -> None:
    """What is not staged, or damaged, is refused, and the unit goes on as it was."""
    assert f"9.9.9 is not staged; staged are: {OLD}, {NEW}" in host.switch("9.9.9")["msg"]
    binary = f"{PLACE['root']}/releases/{NEW}/bin/etcdctl"
    host.shell(f"cp {binary} /var/tmp/kept; echo x >> {binary}")
    assert f"{NEW} is damaged: bin/etcdctl" in host.switch(NEW)["msg"]
    host.shell(f"cp /var/tmp/kept {binary}")
    assert host.before == host.pid()


@pytest.mark.slow
def test_restart_when_it_runs_something_else(host: Host) -> None:
    """That the link is right is not enough: a process that still runs the other release is restarted."""
    host.shell(f"ln -sfn releases/{NEW} {PLACE['root']}/current")
    answer = host.switch(NEW)
    assert (True, NEW) == (answer["changed"], answer["previous"])
    assert f"/releases/{NEW}/" in answer["exe"]


def test_version_that_does_not_start(host: Host) -> None:
    """A release that dies at its start fails with its own last words, is left stopped, and one can go back."""
    host.switch(NEW)
    host.shell(f"timeout 20 sh -c {shlex.quote(UNTIL_AFTER)}")
    answer = host.switch(OLD)
    assert "demo did not start" in answer["msg"]
    assert "cannot be downgraded" in answer["msg"]
    assert f"demo was left stopped, and {PLACE['root']}/current leads to {OLD}" in answer["msg"]
    assert "cannot be downgraded" in answer["journal"][-1]
    assert f"releases/{OLD}" == host.linked()
    time.sleep(0.5)  # five times what systemd waits before it would try again
    assert "inactive" == host.shell("systemctl show -P ActiveState demo").strip()
    assert "active" == host.switch(NEW)["active"]


@pytest.mark.slow
def test_start_that_takes_too_long(host: Host) -> None:
    """A unit that never says that it is ready fails at the timeout, and is left stopped. Its file had changed: systemd was told."""
    host.unit(SILENT)
    answer = host.switch(NEW, timeout_s=1)
    assert re.search(r"demo did not start: it was activating \(start\) after \d\.\d s", answer["msg"])
    assert "demo was left stopped" in answer["msg"]


@pytest.mark.slow
def test_unit_that_does_not_stop(host: Host) -> None:
    """A process that does not end in time is said to be so, and the link is not touched under it."""
    host.shell("systemctl stop demo")
    host.unit(STUBBORN)
    assert host.switch(OLD)["changed"]
    answer = host.switch(NEW, timeout_s=1)
    assert "demo did not stop" in answer["msg"]
    assert "current was not changed" in answer["msg"]
    assert f"releases/{OLD}" == host.linked()


def test_unit_that_does_not_stop_is_killed(host: Host) -> None:
    """When a release that does not work is taken back, there is nothing to wait for."""
    host.shell("systemctl stop demo")
    host.unit(STUBBORN)
    stubborn = host.switch(NEW)["pid"]
    host.unit(UNIT)
    answer = host.switch(OLD, timeout_s=3, kill=True)
    assert ("active", True) == (answer["active"], answer["changed"]), answer
    assert f"releases/{OLD}" == host.linked()
    assert "gone" == host.shell(f"test -e /proc/{stubborn} || echo gone").strip()


@pytest.mark.slow
def test_unit_that_is_none(host: Host) -> None:
    """A unit that systemd does not know is refused, and nothing is switched."""
    assert "unit nope is not-found" in host.switch(NEW, unit="nope")["msg"]
    assert f"releases/{OLD}" == host.linked()


@pytest.mark.slow
def test_node_says_the_same(host: Host) -> None:
    """node_info sees what the switch made, in one task, as a fact."""
    answer = host.ask("node_info", **PLACE, unit="demo", data_dir="/var/lib/demo")
    assert ([OLD, NEW], OLD, []) == (answer["staged"], answer["linked"], answer["errors"])
    assert ("active", "running", 0) == tuple(answer["unit"][key] for key in ("active", "sub", "restarts"))
    assert f"/releases/{OLD}/" in answer["unit"]["exe"]
    assert answer["data"]["bytes"] > 0
    assert answer["ansible_facts"]["nodewise_node"]["linked"] == OLD
