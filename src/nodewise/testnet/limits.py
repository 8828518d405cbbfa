# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine has to have for so many more nodes: asked before one is made, as nodes that lack it come up without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nodewise.errors import UsageError

INSTANCES = 6  # of inotify that systemd and dbus of a node take, all of root's: Debian allows 128
MEMORY = 48  # MiB of a node without a service
SPARE = 256  # MiB that are left for everything else
PROC = Path("/proc")


def check(nodes: int, running: int, proc: Path = PROC) -> None:
    """Raise UsageError where `nodes` more, beside those that are `running`, would not come up, with what to set."""
    problems = [*_inotify(nodes, running, proc), *_memory(nodes, proc)]
    if problems:
        raise UsageError(f"{nodes} more nodes do not fit on this machine: {'; '.join(problems)}")


def _inotify(nodes: int, running: int, proc: Path) -> Iterator[str]:
    most = _number(proc / "sys/fs/inotify/max_user_instances")
    if most is None:
        return
    used = max(INSTANCES * running, _instances(proc))
    if most < used + INSTANCES * nodes:
        enough = 1 << (used + INSTANCES * nodes).bit_length()
        yield (
            f"they need {INSTANCES * nodes} inotify instances, and {max(0, most - used)} of {most} are free "
            f"(set more: sysctl -w fs.inotify.max_user_instances={enough})"
        )


def _memory(nodes: int, proc: Path) -> Iterator[str]:
    with suppress(OSError, StopIteration, ValueError):
        lines = (proc / "meminfo").read_text().splitlines()
        free = int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) >> 10
        if free < MEMORY * nodes + SPARE:
            yield f"they need {MEMORY * nodes} MiB of memory, and {max(0, free - SPARE)} MiB can be had"


def _instances(proc: Path) -> int:
    """How many inotify instances are in use, as far as this user may see."""
    found = 0
    for folder in proc.glob("[0-9]*/fd"):
        with suppress(OSError):
            found += sum(link.readlink() == Path("anon_inode:inotify") for link in folder.iterdir())
    return found


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
