"""Nodes that a machine has no room for are refused before one is made, with what to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodewise.errors import UsageError
from nodewise.testnet import limits

FILES = {
    "tasks": "loadavg",
    "pid_max": "sys/kernel/pid_max",
    "followed": "sys/net/netfilter/nf_conntrack_count",
    "most_followed": "sys/net/netfilter/nf_conntrack_max",
    "cgroup": "self/cgroup",
}


def machine(folder: Path, *, instances: int = 128, used: int = 0, free: int = 8 << 10, **more: str) -> Path:
    """A /proc with this limit of inotify, one process that uses some of it, so many MiB of memory, and what else it says."""
    for name, said in more.items():
        (folder / FILES[name]).parent.mkdir(parents=True, exist_ok=True)
        (folder / FILES[name]).write_text(said)
    (folder / "sys/fs/inotify").mkdir(parents=True)
    (folder / "sys/fs/inotify/max_user_instances").write_text(f"{instances}\n")
    (folder / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {free << 10} kB\n")
    (folder / "77/fd").mkdir(parents=True)
    for number in range(used):
        (folder / f"77/fd/{number}").symlink_to("anon_inode:inotify")
    (folder / "77/fd/99").symlink_to("/dev/null")
    return folder


@pytest.mark.parametrize(("nodes", "running", "used"), [(21, 0, 0), (1, 20, 0), (10, 3, 20), (5, 0, 98)])
def test_what_fits(tmp_path: Path, nodes: int, running: int, used: int) -> None:
    """Debian's limit is enough for 21 nodes in all."""
    limits.check(nodes, running, tmp_path, machine(tmp_path, used=used))


@pytest.mark.parametrize(
    ("nodes", "running", "used", "says"),
    [
        (
            22,
            0,
            0,
            "they need 132 inotify instances, and 128 of 128 are free (set more: sysctl -w fs.inotify.max_user_instances=256)",
        ),
        (2, 20, 0, "they need 12 inotify instances, and 8 of 128 are free"),
        (5, 0, 99, "they need 30 inotify instances, and 29 of 128 are free"),
    ],
)
def test_too_many_for_inotify(tmp_path: Path, nodes: int, running: int, used: int, says: str) -> None:
    """What others use counts, too; the message has the setting."""
    with pytest.raises(UsageError) as raised:
        limits.check(nodes, running, tmp_path, machine(tmp_path, used=used))
    assert f"{nodes} more nodes do not fit on this machine: {says}" in str(raised.value)


def test_too_little_memory(tmp_path: Path) -> None:
    """A node takes some, and the machine needs the rest."""
    with pytest.raises(UsageError, match="they need 240 MiB of memory, and 200 MiB can be had"):
        limits.check(5, 0, tmp_path, machine(tmp_path, free=200 + limits.SPARE))


def refused(folder: Path, nodes: int = 5, **said: str) -> str:
    """What is said of so many nodes on such a machine."""
    with pytest.raises(UsageError) as raised:
        limits.check(nodes, 0, folder, machine(folder, **said), folder / "cgroups")
    return str(raised.value)


def test_too_few_processes(tmp_path: Path) -> None:
    """The kernel's numbers are those of threads; a control group around all of it may allow less."""
    said = refused(tmp_path / "kernel", tasks="0.1 0.1 0.1 1/3700 99\n", pid_max="4096\n")
    assert "they need 500 processes and threads, and 396 of 4096 are free (set more: sysctl -w kernel.pid_max=8192)" in said
    for version, (line, where) in enumerate([("5:pids:/user/me\n", "pids/user/me"), ("0::/user/me\n", "user/me")]):
        folder = tmp_path / str(version)
        (folder / "cgroups" / where).mkdir(parents=True)
        limited = (folder / "cgroups" / where).parent  # a group around ours
        (limited / "pids.max").write_text("600\n")
        (limited / "pids.current").write_text("200\n")
        said = refused(folder, cgroup=line)
        assert f"and 400 of 600 are free (set more: pids.max in {limited}: 1024)" in said


def test_too_few_connections(tmp_path: Path) -> None:
    """What the firewall does not follow it drops."""
    said = refused(tmp_path, followed="3000", most_followed="4096")
    assert "the firewall follows 4096 connections, has 3000, and they need 1280" in said
    assert "(set more: sysctl -w net.netfilter.nf_conntrack_max=8192)" in said


def test_too_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is nearly full is not filled by nodes."""
    monkeypatch.setattr(limits, "SPARE_DISK", 1 << 40)
    said = refused(tmp_path, nodes=1)
    assert said.startswith("1 more node does not fit on this machine: they need 256 MiB in ")
    assert "and 0 MiB can be had (podman system df shows what takes the room)" in said


def test_what_cannot_be_read_is_no_limit(tmp_path: Path) -> None:
    """A kernel without these files has other limits, or none."""
    limits.check(50, 0, tmp_path / "none", tmp_path, tmp_path)


def test_this_machine_has_room_for_one() -> None:
    """As it is in fact."""
    limits.check(1, 0, Path("/"))
