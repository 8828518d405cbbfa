# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a unit's process runs with, and what it would run with after a restart: the differences, with both values.

What cannot be read is a difference, too: nobody knows then what a restart would bring up.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import partial
from typing import Any, Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.host import command, environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.disk import Disk, shebang, way
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import timestamp
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import State
from ansible_collections.nodewise.cluster.plugins.module_utils.node.reading import Reading, named
from ansible_collections.nodewise.cluster.plugins.module_utils.node.service import (
    Process,
    Unit,
    asked,
    environment_files,
    look,
    unit_files,
    unread_drop_ins,
)

UNTOLD = ("forking", "oneshot")  # types of units whose main process is another one than that of ExecStart
# Settings of a unit that its process does not run with, and those that are compared by their values.
OF_STARTING = {
    *("Description", "Documentation", "After", "Before", "Wants", "WantedBy", "Restart", "RestartSec"),
    *("TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "StartLimitIntervalSec", "StartLimitBurst"),
}
OF_ENVIRONMENT = {"Environment", "EnvironmentFile", "PassEnvironment", "UnsetEnvironment"}
RESTART = "restart the member with it first, or put it back"
_KEY = re.compile(r"^[ \t]*([A-Z]\w*)[ \t]*=", re.MULTILINE)


def told(state: State, link: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return what node_info returns as `restart`, of a unit in this state, from that module's parameters.

    OSError, UnitError or ValueError when systemd or the kernel do not say what is asked for first of all.
    """
    unit, disk = asked(given["unit"]), Disk()
    process = look(state.pid, state.started, unit.one("ControlGroup")) if state.pid and state.started else None
    limit, link = unit.limit(), given.get("through") or link
    own = process.program if process else unit.main().path
    begins = given.get("begins") or os.path.join(link, "bin", os.path.basename(own))
    comparison = Comparison(unit, process, disk, given.get("reread") or [], given.get("config") or []) if process else None
    return {
        "differences": comparison.made() if comparison else [],
        "link": link,
        "exec_start": through(unit, disk, link, begins, process),
        "limit": {"setting": limit[0], "seconds": limit[1]} if limit else None,
    }


def through(unit: Unit, disk: Disk, link: str, begins: str, running: Process | None) -> str:
    """Return the ExecStart to write for one that does not go through a link; empty for one that does.

    A variable that leads there, a script that names it, and links on the way count. `begins` is how the line begins.
    """
    main, script = unit.main(), shebang(disk, unit.main().path)
    texts = [main.line, unit.one("Environment"), disk.text(main.path) if script else ""]
    texts += [f"{name}={value}" for name, value in running.environment.items()] if running else []
    steps = {step for text in texts for setting, path in named(text) for step, entry in way(disk, path)}
    where = os.path.join(way(disk, os.path.dirname(link))[-1][0], os.path.basename(link))
    if any(step == where or step.startswith(f"{where}/") for step in steps):
        return ""
    program = command.program(main, running.line, running.environment, script)[0] if running else main.path
    return f"ExecStart={command.masked(command.through(main, program, begins)) or f'{begins} …'}"


def _shown(old: str | None, new: str | None, hidden: bool = False) -> tuple[str, str]:
    """Two values that differ, without what is secret in them."""
    before, after = ("not set" if value is None else command.masked(value) for value in (old, new))
    if hidden or before == after:
        return (before if old is None else "a secret", after if new is None else "another one")
    return before, after


class Comparison:
    """Compares a process with what a restart of its unit would use now; `differences` has what it found.

    Each is a dict: `what`, what it is now (`runs`), what it would be (`restart`), what to `do`, and a `hash` of all this.
    """

    def __init__(self, unit: Unit, process: Process, disk: Disk, reread: list[str], config: list[str]) -> None:
        self.unit, self.process, self.disk = unit, process, disk
        self.reread, self.config = reread, config
        self.differences: list[dict[str, str]] = []

    def made(self) -> list[dict[str, str]]:
        """Return the differences."""
        self._ask(f"the unit {self.unit.name}", self._read_again)
        wanted = self._ask("its environment", self._environment)
        program, direct = self._ask("its arguments", partial(self._arguments, wanted)) or (None, False)
        compared = direct and wanted is not None and self._variables(wanted)
        self._ask("its program", lambda: self._programs(program))
        self._files(OF_STARTING | ({"ExecStart"} if program else set()) | (OF_ENVIRONMENT if compared else set()))
        return self.differences

    def _add(self, what: str, runs: str, restart: str, do: str, proof: str = "") -> None:
        """Keep one. `proof`, where given, tells it from another one of this process by more than is shown, or by less."""
        told = "\n".join((what, restart, self.unit.one("InvocationID") + proof if proof else runs))
        digest = hashlib.sha256(told.encode()).hexdigest()[:8]
        self.differences.append({"what": what, "runs": runs, "restart": restart, "do": do, "hash": digest})

    def _ask(self, what: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (OSError, ValueError) as error:
            self._unknown(what, f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error))
            return None

    def _unknown(self, what: str, why: str) -> None:
        self._add(f"{what} cannot be compared", "unknown", f"unknown ({why})", "have it readable, then look again")

    def _read_again(self) -> None:
        unread = unread_drop_ins(self.unit, self.disk)
        if unread or self.unit.one("NeedDaemonReload") == "yes":
            now = f"as its files are by now, which systemd has not read{': ' if unread else ''}{', '.join(unread)}"
            do = "run systemctl daemon-reload, then look again"
            self._add(f"the unit {self.unit.name} differs", "as systemd has read it", now, do)

    def _environment(self) -> dict[str, str] | None:
        """The variables that the unit and its files would give, beside what systemd adds; None when such a file is missing."""
        given = {**self.unit.manager, **environment.from_property(self.unit.one("Environment"))}
        files, missing = environment_files(self.unit, self.disk)
        for path in missing:
            self._add(f"its EnvironmentFile {path} is gone", "with it", "none, so that it would not start", "put it back")
        for path in files:
            given.update(environment.from_file(self.disk.text(path)))
        unset = self.unit.one("UnsetEnvironment").split()
        return None if missing else {name: value for name, value in given.items() if not {name, f"{name}={value}"} & set(unset)}

    def _arguments(self, wanted: dict[str, str] | None) -> tuple[str | None, bool]:
        """The program that its command leads to, and whether directly; None where something else made the arguments it has."""
        main, line = self.unit.main(), self.process.line
        variables = self.process.environment if wanted is None else {**self.process.added(), **wanted}
        script = shebang(self.disk, main.path)
        program, direct = command.program(main, line, variables, script)
        wrapped = script and main.path not in line.split(" ")
        if program is not None or wrapped or command.retitled(self.process.arguments) or self.unit.one("Type") in UNTOLD:
            return program, direct
        expected = command.wanted(main, variables)
        runs, restart = _shown(*command.unlike(line[line.index(main.path) if script else 0 :], expected))
        do = "restart the member yourself first, or put its ExecStart back"
        self._add("its arguments differ", runs or "not given", restart or "not given", do, f"{line}\n{expected}")
        return main.path, False

    def _variables(self, wanted: dict[str, str]) -> bool:
        """Compare variables; return whether that was possible."""
        has, passed = self.process.environment, self.unit.one("PassEnvironment").split()
        if self.unit.one("PAMName") or not {"PATH", "INVOCATION_ID"} & set(has):  # a process may write over its own
            return False
        for name in sorted({*has, *wanted} - {*(set(self.process.added()) - set(wanted)), *passed}):
            old, new = has.get(name), wanted.get(name)
            if old != new:
                runs, restart = _shown(old, new, hidden=environment.secret(name))
                do = "restart the member yourself first, or put the unit's Environment or EnvironmentFile back"
                self._add(f"its variable {name} differs", runs, restart, do, f"{old}\n{new}")
        return True

    def _programs(self, program: str | None) -> None:
        own = self.process.program
        self._program("its program differs", self.process.pid, own, program if program and program.startswith("/") else own)
        for path, pid in {path: pid for pid, path in sorted(self.process.gone.items(), reverse=True)}.items():
            self._program(f"the program of its process {pid} differs", pid, path, path)

    def _program(self, what: str, pid: int, own: str, path: str) -> None:
        """Files of one inode are one file; only of others the content is read."""
        found = way(self.disk, path)[-1][1]
        if found is None:
            self._add(what, own, f"{path}, which is not there", "put it back")
        elif found.identity != self.disk.identity(pid):
            old, new = self.disk.sha256(f"/proc/{pid}/exe"), self.disk.sha256(path)
            if old != new:
                self._add(what, f"{own} (sha256 {old[:12]})", f"{path} (sha256 {new[:12]})", RESTART)

    def _files(self, settings: set[str]) -> None:
        """What was written after the process began: files of the unit, and those that it reads."""
        reading = Reading(self.disk, self.process.started, self.reread)
        for path in unit_files(self.unit, self.disk):
            if (self._ask(path, partial(self._settings, path)) or set()) - settings:
                reading.file(path, moved=True)
        for path in [] if settings >= OF_ENVIRONMENT else environment_files(self.unit, self.disk)[0]:
            reading.file(path)
        self._read(reading)
        began = timestamp(self.process.started)
        for path, written in reading.newer.items():
            self._add(f"{path} changed after the process began", f"as before {began}", f"as of {timestamp(written)}", RESTART, path)
        for path in reading.gone:
            self._add(f"{path} is gone", "with it", "without it", "put it back")
        for path, why in reading.unread.items():
            self._unknown(path, why)

    def _read(self, reading: Reading) -> None:
        """Have all named that it read, and that it would read."""
        if not command.retitled(self.process.arguments):
            reading.command(" ".join(self.process.arguments[1:]))
        for one in self.unit.commands("ExecStart", "ExecStartPre", "ExecStartPost"):
            reading.value(environment.expand(one.line, self.process.environment))
        for name in set(self.process.environment) - set(self.process.added()):
            reading.value(f"{name}={self.process.environment[name]}")
        for path in self.config:
            reading.value(path)

    def _settings(self, path: str) -> set[str]:
        return set(_KEY.findall(self.disk.text(path)))
