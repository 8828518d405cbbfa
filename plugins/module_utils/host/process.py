# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes of this host, and who began them."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any, Container

DELETED = " (deleted)"  # what the kernel adds to a program that was removed or replaced under its process
INTERPRETER = re.compile(r"(python|perl|bash|dash|sh)[\d.]*")
TICK = 0.05  # seconds between looks
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LISTED = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # not every kernel lists them
_LIBC = ctypes.CDLL(None, use_errno=True)


def exe_of(pid: int) -> str | None:
    """Return the file that a process runs, or None when there is no such process, or it has none."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def began(pid: int | None) -> str | None:
    """Return number and start time of a process, which together no other one has; None when it is gone."""
    fields = [] if pid is None else _stat(pid)
    return f"{pid}@{fields[19]}" if fields and fields[0] not in "ZX" else None


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(number: int) -> None:
    """Get a signal when the parent ends, however it does."""
    _LIBC.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def descendants() -> list[int]:
    """Return every process below this one that has not ended."""
    found, todo = [], children(os.getpid())
    while todo:
        pid = todo.pop()
        todo += children(pid)
        if state(pid) not in ("Z", "X", ""):
            found.append(pid)
    return found


def children(pid: int) -> list[int]:
    """Return the processes that a process is the parent of."""
    if not LISTED:
        return [child for child in map(int, filter(str.isdigit, os.listdir("/proc"))) if _stat(child)[1:2] == [str(pid)]]
    found = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as stream:
                found += [int(word) for word in stream.read().split()]
    return found


def group(number: int) -> list[int]:
    """Return the processes of a process group that have not ended."""
    every = ((int(name), _stat(int(name))) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid, fields in every if fields[2:3] == [str(number)] and fields[0] not in "ZX"]


def end_group(process: subprocess.Popen[Any], patience: float = 10) -> None:
    """Kill what is left of the process group of a program that was started in a session of its own, and see it gone.

    pg_basebackup that fails leaves its receiver of the WAL behind for a moment, which writes into a folder that we remove.
    """
    os.killpg(process.pid, signal.SIGKILL)
    until = time.monotonic() + patience
    while group(process.pid) and time.monotonic() < until:
        time.sleep(TICK)
    process.wait()


def state(pid: int) -> str:
    """Return the one letter of a process's state; empty when it is gone."""
    return "".join(_stat(pid)[:1])


def parent(pid: int) -> int:
    """Return the parent of a process; 0 when it is gone."""
    return int((_stat(pid)[1:2] or ["0"])[0])


def programs(names: Container[str]) -> list[tuple[int, str]]:
    """Return the processes of this host (not of its containers) that run a program of these names, a script's own name included."""
    here, found = _namespace("self"), []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        name = _program(pid)
        if name in names and state(pid) not in ("Z", "X", "") and _namespace(pid) == here:
            found.append((pid, name))
    return found


def _program(pid: int) -> str:
    """The name of what a process runs: of `/usr/bin/perl -w /usr/sbin/needrestart` it is needrestart."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            first, *others = stream.read().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    name = os.path.basename(first)
    if INTERPRETER.fullmatch(name):
        name = os.path.basename(next((word for word in others if word and not word.startswith("-")), first))
    return name


def _namespace(pid: int | str) -> str:
    """The namespace of a process's number: that of a container differs from ours."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return stream.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []


def named(pids: list[int]) -> list[tuple[int, str]]:
    """Return processes with their names; those that ended meanwhile are left out."""
    found = []
    for pid in pids:
        with suppress(OSError), open(f"/proc/{pid}/comm", errors="replace") as stream:
            found.append((pid, stream.read().strip()))
    return found
