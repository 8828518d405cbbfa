"""Nodes that a machine has no room for are refused before one is made, with what to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodewise.errors import UsageError
from nodewise.testnet import limits


def machine(folder: Path, *, instances: int = 128, used: int = 0, free: int = 8 << 10) -> Path:
    """A /proc with this limit of inotify, one process that uses some of it, and so many MiB of memory."""
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
    limits.check(nodes, running, machine(tmp_path, used=used))


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
        limits.check(nodes, running, machine(tmp_path, used=used))
    assert f"{nodes} more nodes do not fit on this machine: {says}" in str(raised.value)


def test_too_little_memory(tmp_path: Path) -> None:
    """A node takes some, and the machine needs the rest."""
    with pytest.raises(UsageError, match="they need 240 MiB of memory, and 200 MiB can be had"):
        limits.check(5, 0, machine(tmp_path, free=200 + limits.SPARE))


def test_what_cannot_be_read_is_no_limit(tmp_path: Path) -> None:
    """A kernel without these files has other limits, or none."""
    limits.check(50, 0, tmp_path)


def test_this_machine_has_room_for_one() -> None:
    """As it is in fact."""
    limits.check(1, 0)
