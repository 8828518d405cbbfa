# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A unit and its running process, as systemd and the kernel have them: the evidence that restart.py compares."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ansible_collections.nodewise.cluster.plugins.module_utils.host import command, environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host import unit as systemd
from ansible_collections.nodewise.cluster.plugins.module_utils.host.disk import Disk, way
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import DELETED

PROPERTIES = (
    *("Type", "ExecStart", "ExecStartPre", "ExecStartPost", "Environment", "EnvironmentFiles", "PassEnvironment"),
    *("UnsetEnvironment", "PAMName", "Id", "FragmentPath", "DropInPaths", "NeedDaemonReload", "ControlGroup", "InvocationID"),
    *("TimeoutStartUSec", "JobTimeoutUSec", "JobRunningTimeoutUSec"),
)
WAITING = ("notify", "notify-reload", "forking", "dbus", "oneshot")  # types of units whose start waits for the process
UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
LIVE = "/system.control/"  # of drop-ins: what `systemctl set-property` wrote
SPANS = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800, "month": 2629800, "y": 31557600}


class Process(NamedTuple):
    """A running process, and other processes of its unit whose program was removed or replaced (pid -> its path)."""

    pid: int
    started: float  # seconds since the epoch
    arguments: list[str]
    environment: dict[str, str]
    exe: str
    gone: dict[int, str] = {}

    @property
    def program(self) -> str:
        """The path that its program has, or had."""
        return self.exe[: -len(DELETED)] if self.exe.endswith(DELETED) else self.exe

    @property
    def line(self) -> str:
        """Its arguments as one line."""
        return command.one_line(" ".join(self.arguments))

    def added(self) -> dict[str, str]:
        """Return the variables that the unit does not set."""
        return {name: value for name, value in self.environment.items() if environment.ADDED.fullmatch(name)}


class Unit(NamedTuple):
    """A unit: `properties` as `systemctl show` has PROPERTIES, a line each, and the variables that systemd gives every service."""

    name: str
    properties: dict[str, list[str]]
    manager: dict[str, str]

    def one(self, name: str) -> str:
        """Return a property of one line; empty when systemd does not know it."""
        return (self.properties.get(name) or [""])[0]

    def commands(self, *names: str) -> list[command.Command]:
        """Return the commands of properties such as ExecStart."""
        return [one for name in names for one in command.commands(self.properties.get(name) or [])]

    def main(self) -> command.Command:
        """Return its ExecStart, the last one of several; ValueError when systemd does not say it."""
        found = self.commands("ExecStart")
        if not found:
            raise ValueError(f"systemd does not say what {self.name} runs (ExecStart)")
        return found[-1]

    def limit(self) -> tuple[str, float] | None:
        """Return the setting that ends a start soonest, and its seconds; None when nothing ends one."""
        waits = self.one("Type") in WAITING or bool(self.commands("ExecStartPre", "ExecStartPost"))
        names = [*(["TimeoutStart"] if waits else []), "JobTimeout", "JobRunningTimeout"]
        found = [(seconds(text), f"{name}Sec") for name in names if (text := self.one(f"{name}USec")) not in ("", "infinity")]
        return min(found)[::-1] if found else None


def asked(name: str) -> Unit:
    """Return a unit as systemd has it; UnitError when it does not say."""
    properties = systemd.Unit(name).properties(PROPERTIES, needed=False)
    return Unit(name, properties, environment.from_manager(systemd.manager_environment()))


def look(pid: int, started: float, control_group: str) -> Process:
    """Return what the kernel says of a process; OSError when it does not say."""
    with open(f"/proc/{pid}/cmdline", "rb") as stream:
        arguments = stream.read().decode(errors="replace").split("\0")[:-1]
    with open(f"/proc/{pid}/environ", "rb") as stream:
        variables = environment.from_block(stream.read())
    return Process(pid, started, arguments, variables, os.readlink(f"/proc/{pid}/exe"), _gone(pid, control_group))


def _gone(main: int, control_group: str) -> dict[int, str]:
    found = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != main):
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
            if exe.endswith(DELETED):
                with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
                    if control_group in [line.rstrip("\n").split(":", 2)[2] for line in stream]:
                        found[pid] = exe[: -len(DELETED)]
        except OSError:  # a thread of the kernel, or it has just ended
            continue
    return found


def environment_files(unit: Unit, disk: Disk) -> tuple[list[str], list[str]]:
    """Return the EnvironmentFiles that are there, and those without which the unit does not start and that are not."""
    there, missing = [], []
    for text in filter(None, unit.properties.get("EnvironmentFiles") or []):
        pattern, optional = text.rpartition(" (ignore_errors=")[::2]
        found = disk.matching(pattern)
        there += found
        missing += [] if found or optional == "yes)" else [pattern]
    return there, missing


def unit_files(unit: Unit, disk: Disk) -> list[str]:
    """Return the files that systemd has read the unit from and that are there, but for those that running processes follow."""
    read = [unit.one("FragmentPath"), *unit.one("DropInPaths").split()]
    return [path for path in read if LIVE not in path and (found := way(disk, path)[-1][1]) and found.kind == "file"]


def unread_drop_ins(unit: Unit, disk: Disk) -> list[str]:
    """Return drop-ins that came or went since systemd read them, also where NeedDaemonReload does not tell: in a new folder."""
    loaded, name = unit.one("DropInPaths").split(), unit.one("Id")
    template = re.sub("@.+[.]", "@.", name)
    there = [path for base in UNITS for one in sorted({name, template}) for path in disk.matching(f"{base}/{one}.d/*.conf")]
    known = {os.path.basename(path) for path in loaded}
    came = [path for path in there if os.path.basename(path) not in known and way(disk, path)[-1][0] != os.devnull]
    return sorted(came) + [path for path in loaded if not way(disk, path)[-1][1]]


def seconds(span: str) -> float:
    """Return a time span of systemd, such as `1min 30s`, in seconds; ValueError for any other text."""
    parts = [re.fullmatch(r"([\d.]+)([a-z]+)", word) for word in span.split()]
    if not parts or not all(part and part[2] in SPANS for part in parts):
        raise ValueError(f"{span!r} is no time span of systemd")
    return sum(float(part[1]) * SPANS[part[2]] for part in parts if part)
