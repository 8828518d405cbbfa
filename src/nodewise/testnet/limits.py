# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine has to have for so many more nodes: asked before one is made, as nodes that lack it come up without a word."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nodewise.errors import UsageError

INSTANCES = 6  # of inotify that systemd and dbus of a node take, all of root's: Debian allows 128
MEMORY = 48  # MiB of a node without a service
SPARE = 256  # MiB that are left for everything else
TASKS = 100  # processes and threads of a node, those of a database among them
DISK = 256  # MiB of a node: its packages, its logs, and a small database
SPARE_DISK = 1024  # MiB
CONNECTIONS = 256  # that the firewall follows of a node under load
PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def check(nodes: int, running: int, store: Path, proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
    """Raise UsageError where `nodes` more, beside those that are `running`, would not come up, with what to set.

    `store` is the folder with the nodes' disks. What cannot be read is no limit.
    """
    asked = (_inotify(nodes, running, proc), _memory(nodes, proc), _tasks(nodes, proc, cgroups), _disk(nodes, store))
    if problems := [line for lines in (*asked, _connections(nodes, proc)) for line in lines]:
        raise UsageError(f"{nodes} more node{'s do' if nodes > 1 else ' does'} not fit on this machine: {'; '.join(problems)}")


def _inotify(nodes: int, running: int, proc: Path) -> Iterator[str]:
    most = _number(proc / "sys/fs/inotify/max_user_instances")
    if most is None:
        return
    used = max(INSTANCES * running, _instances(proc))
    if most < used + INSTANCES * nodes:
        enough = _enough(used + INSTANCES * nodes)
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


def _tasks(nodes: int, proc: Path, cgroups: Path) -> Iterator[str]:
    """The kernel numbers threads as it numbers processes; a container or a session that all of this runs in may have less."""
    used = None
    with suppress(OSError, ValueError, IndexError):
        used = int((proc / "loadavg").read_text().split()[3].partition("/")[2])
    kernels = ((f"sysctl -w kernel.{name}=", _number(proc / "sys/kernel" / name), used) for name in ("pid_max", "threads-max"))
    own = ((f"pids.max in {at}: ", _number(at / "pids.max"), _number(at / "pids.current")) for at in _own(proc, cgroups))
    for how, most, there in (*kernels, *own):
        if most is not None and there is not None and most < there + TASKS * nodes:
            free = f"{max(0, most - there)} of {most} are free"
            enough = _enough(there + TASKS * nodes)
            yield f"they need {TASKS * nodes} processes and threads, and {free} (set more: {how}{enough})"


def _disk(nodes: int, store: Path) -> Iterator[str]:
    with suppress(OSError):
        there = os.statvfs(store)
        free = there.f_bavail * there.f_frsize >> 20
        if free < DISK * nodes + SPARE_DISK:
            had = max(0, free - SPARE_DISK)
            yield f"they need {DISK * nodes} MiB in {store}, and {had} MiB can be had (podman system df shows what takes the room)"


def _connections(nodes: int, proc: Path) -> Iterator[str]:
    folder = proc / "sys/net/netfilter"
    most, used = _number(folder / "nf_conntrack_max"), _number(folder / "nf_conntrack_count")
    if most and used is not None and most < used + CONNECTIONS * nodes:
        yield (
            f"the firewall follows {most} connections, has {used}, and they need {CONNECTIONS * nodes} "
            f"(set more: sysctl -w net.netfilter.nf_conntrack_max={_enough(used + CONNECTIONS * nodes)})"
        )


def _own(proc: Path, cgroups: Path) -> Iterator[Path]:
    """The folders of this process's control groups that count processes, of either version of cgroups, up to the root."""
    with suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _number_of, controllers, path = line.split(":", 2)
            if controllers in ("", "pids"):
                root = cgroups / controllers
                own = root / path.lstrip("/")
                yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root) and folder.is_dir())


def _enough(wanted: int) -> int:
    """The next power of two: kernels' limits are told in these, and there is room for more."""
    return 1 << wanted.bit_length()


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
