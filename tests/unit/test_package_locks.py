"""Locks of a package manager that another process holds: who it is, waiting for it, and what a run makes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ansible_collections.nodewise.cluster.plugins.action import hop
from ansible_collections.nodewise.cluster.plugins.module_utils.host.holder import holder
from ansible_collections.nodewise.cluster.plugins.module_utils.release import apt, packages
from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import PackageError
from nodewise.model import Artifact
from nodewise.upgrade.preflight import busy
from tests.notes import NAMES

from .simulated import Simulated
from .test_plan import made

HOLD = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.readline()"


@contextmanager
def held(path: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock of a file, as dpkg takes it, until a line is written to it."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline()
        yield other
        other.kill()


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Apt's locks, as files of the test's own."""
    found = {name: str(tmp_path / name) for name in ("frontend", "dpkg", "lists", "archives")}
    for path in found.values():
        Path(path).touch()
    monkeypatch.setattr(apt, "FRONTEND_LOCK", found["frontend"])
    monkeypatch.setattr(apt, "LOCK", found["dpkg"])
    monkeypatch.setattr(apt, "TELLING", (found["lists"], found["archives"]))
    monkeypatch.setattr(apt, "_sweep", lambda: None)
    monkeypatch.setattr(packages, "of_host", apt.Apt)
    return found


def test_who_holds_a_lock(tmp_path: Path) -> None:
    """Name and pid of the process; nothing of a file that is free, or not there; looking locks nothing and makes nothing."""
    path = tmp_path / "lock"
    assert "" == holder(str(path))
    assert not path.exists()
    path.touch()
    assert "" == holder(str(path))
    with held(str(path)) as other:
        name = Path(f"/proc/{other.pid}/comm").read_text().strip()
        assert f"{name} (pid {other.pid})" == holder(str(path))
    assert "" == holder(str(path))


@pytest.mark.parametrize("which", ["frontend", "dpkg", "lists", "archives"])
def test_all_locks_are_told(locks: dict[str, str], which: str) -> None:
    """Whichever is held is named; only those of dpkg are waited for."""
    manager = apt.Apt()
    assert {} == manager.held_by_others()
    with held(locks[which]) as other:
        assert {locks[which]: holder(locks[which])} == manager.held_by_others()
        assert f"(pid {other.pid})" in holder(locks[which])
        waited, _seconds = manager.wait(0)
        assert ({locks[which]} if which in ("frontend", "dpkg") else set()) == set(waited)


def test_it_is_waited_for(locks: dict[str, str]) -> None:
    """Until it is free, and no longer."""
    with held(locks["frontend"]) as other:
        assert {} != apt.Apt().wait(0.3)[0]
        assert other.stdin
        other.stdin.write("\n")
        other.stdin.flush()
        held_still, seconds = apt.Apt().wait(30)
        assert {} == held_still
        assert seconds < 30


def test_an_installation_says_who_is_in_its_way(locks: dict[str, str]) -> None:
    """It is refused with the name and the number of the process."""
    with (
        held(locks["dpkg"]) as other,
        pytest.raises(PackageError, match=rf"is held by python[\w.]* \(pid {other.pid}\); wait"),
        apt.Apt().locked(0),
    ):
        pass


def test_the_plan_names_who_installs_packages() -> None:
    """Of the nodes whose package manager is to install something; other releases need no lock."""
    plan = made()
    who = {"/var/lib/dpkg/lock-frontend": "unattended-upgr (pid 4711)"}
    nodes: dict[str, Any] = {name: {"packages": {"locks": who if name == "n2" else {}}} for name in plan.members}
    assert [] == busy(plan, nodes)
    package = Artifact("", "", "package", package="db=1")
    hops = [msgspec.structs.replace(one, release=msgspec.structs.replace(one.release, artifacts=[package])) for one in plan.hops]
    said = "n2: /var/lib/dpkg/lock-frontend is held by unattended-upgr (pid 4711): it is waited for before n2 is changed"
    assert [said] == busy(msgspec.structs.replace(plan, hops=hops), nodes)
    assert [] == busy(msgspec.structs.replace(plan, hops=hops), {**nodes, "n2": {"packages": None}})


def test_a_lock_that_is_not_given_up_pauses_the_run(tmp_path: Path, locks: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of the node is changed, and the process is named; once it is free the same command goes on."""
    monkeypatch.setattr(hop, "installs", lambda _hop: True)
    notes = Simulated(tmp_path)
    notes.package_wait = 0.1
    with held(locks["frontend"]) as other:
        assert "paused" == notes.upgrade("1.1.0")
        assert f"n1: {locks['frontend']} is held by {holder(locks['frontend'])}, after 0.1 s" in notes.summary()["reason"]
        assert f"(pid {other.pid})" in notes.summary()["reason"]
    assert "packages_busy" == notes.summary()["reason_code"]
    assert dict.fromkeys(NAMES, 0) == notes.starts()
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0")
    assert dict.fromkeys(NAMES, 1) == notes.starts()
