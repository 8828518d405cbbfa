# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One systemd unit: what systemd says of it, and stopping and starting it within a deadline."""

from __future__ import annotations

import subprocess
import time
from typing import Sequence

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import timestamp
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import exe_of
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

PROPERTIES = (
    *("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "NeedDaemonReload"),
    *("MainPID", "ExecMainStartTimestampMonotonic"),
)
LINE = 300  # characters of a line of the unit's journal that are worth showing
NOT_STARTED = "0"
TIMED_OUT = 124  # as timeout(1) has it


class UnitError(Failure):
    """What systemd, or the unit, did instead, in one line; `journal` has the last lines that the unit's processes wrote."""

    def __init__(self, says: str, journal: list[str] | None = None) -> None:
        super().__init__(says)
        self.journal = journal or []


class StillRuns(UnitError):
    """A unit that was to stop, and did not in its time."""


class State:
    """What systemd said of a unit at one moment."""

    def __init__(self, properties: dict[str, str]) -> None:
        self.load, self.active, self.sub = (properties[key] for key in ("LoadState", "ActiveState", "SubState"))
        self.pid = int(properties["MainPID"]) or None
        self.restarts = int(properties["NRestarts"])
        self.needs_reload = properties["NeedDaemonReload"] == "yes"
        self.result = properties["Result"]
        self.exe = exe_of(self.pid) if self.pid else None
        monotonic = properties["ExecMainStartTimestampMonotonic"]
        running = self.pid and monotonic != NOT_STARTED
        self.started = time.time() - time.monotonic() + int(monotonic) / 1e6 if running else None

    def as_dict(self) -> dict[str, object]:
        """Return it as modules return it; pid, exe and started_at are null when no main process runs."""
        return {
            "load": self.load,
            "active": self.active,
            "sub": self.sub,
            "pid": self.pid,
            "exe": self.exe,
            "started_at": timestamp(self.started) if self.started else None,
            "restarts": self.restarts,
            "needs_reload": self.needs_reload,
        }


class Unit:
    """A unit by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def state(self) -> State:
        """Return what systemd says now; UnitError when it does not say."""
        return State({name: lines[0] for name, lines in self.properties(PROPERTIES).items()})

    def properties(self, names: Sequence[str], needed: bool = True) -> dict[str, list[str]]:
        """Return properties, the lines of each; UnitError when systemd does not say. All are `needed`, or those that it knows."""
        done = _systemctl("show", "--property", ",".join(names), self.name, timeout=10)
        found: dict[str, list[str]] = {}
        for line in done.stdout.splitlines():
            name, value = line.partition("=")[::2]
            found.setdefault(name, []).append(value)
        if done.returncode or (needed and not set(names) <= set(found)):
            raise UnitError(
                f"systemd does not tell how {self.name} is: {done.stderr.strip() or done.stdout.strip() or 'no answer'}"
            )
        return found

    def loaded(self) -> State:
        """Return the state of a unit that must be there."""
        state = self.state()
        if state.load != "loaded":
            raise UnitError(f"unit {self.name} is {state.load}; expected a unit that systemd can load: write it, or name another")
        return state

    def stop(self, timeout: float) -> None:
        """Stop it; UnitError when it has not ended within the timeout."""
        done = _systemctl("stop", self.name, timeout=timeout)
        state = self.state()
        if state.active not in ("inactive", "failed"):
            why = f"exit code {done.returncode}" if done.returncode else f"{timeout:.0f} s"
            raise StillRuns(f"{self.name} did not stop ({why}): it is {state.active} ({state.sub})")

    def end(self, timeout: float) -> None:
        """Stop it; what has not ended within the timeout is killed with all its processes. UnitError when that ends it neither."""
        try:
            self.stop(timeout)
        except StillRuns:
            _systemctl("kill", "--signal=SIGKILL", self.name, timeout=10)
            self.stop(timeout)

    def start(self, timeout: float) -> State:
        """Start it and return its state. Unless it is active within the timeout it is stopped again, and UnitError says so."""
        since = time.time()
        done = _systemctl("start", self.name, timeout=timeout)
        state = self.state()
        if done.returncode or state.active != "active" or not state.pid:
            after = time.time() - since
            journal = self.last_words(since) if done.returncode == TIMED_OUT else []  # before it says that it is stopped
            left = self.give_up(timeout)
            journal = journal or self.last_words(since)  # journald is behind when a process has just died
            how = f"{state.active} ({state.sub}) after {after:.1f} s, result {state.result}"
            said = journal[-1] if journal else "nothing"
            raise UnitError(f"{self.name} did not start: it was {how}, and said last: {said}\n{left}", journal)
        return state

    def enable(self, check: bool = False) -> bool:
        """Have it start at boot, and return whether that is a change; UnitError when systemd refuses."""
        if _systemctl("is-enabled", "--quiet", self.name, timeout=10).returncode == 0:
            return False
        done = None if check else _systemctl("enable", "--quiet", self.name, timeout=30)
        if done and done.returncode:
            raise UnitError(f"{self.name} cannot be enabled: {done.stderr.strip()}")
        return True

    def give_up(self, timeout: float) -> str:
        """Stop what does not work, which systemd would start again and again with nobody looking; return how it was left."""
        try:
            self.stop(timeout)
        except UnitError as error:
            return str(error)
        return f"{self.name} was left stopped"

    def forget_failures(self) -> None:
        """Earlier failures do not count against the next start (systemd refuses one after too many)."""
        _systemctl("reset-failed", self.name, timeout=10)

    def last_words(self, since: float, lines: int = 20) -> list[str]:
        """Return the last lines that its processes wrote since then, without the empty ones."""
        name = self.name if "." in self.name else f"{self.name}.service"
        _run(["journalctl", "--sync"], timeout=5)  # the words of a process that has just died may still be under way
        # No --lines: together with --since, the first ones come instead of the last.
        command = ["journalctl", "--quiet", "--output=cat", f"--since=@{since:.3f}", f"_SYSTEMD_UNIT={name}"]
        return [cut(line, LINE) for line in _run(command, timeout=10).stdout.splitlines() if line.strip()][-lines:]


def manager_environment() -> str:
    """Return what systemd gives every service, a variable a line."""
    done = _systemctl("show-environment", timeout=10)
    if done.returncode:
        raise UnitError(f"systemctl show-environment failed: {done.stderr.strip()}")
    return done.stdout


def reload_units() -> None:
    """Have systemd read the unit files again."""
    done = _systemctl("daemon-reload", timeout=30)
    if done.returncode:
        raise UnitError(f"systemctl daemon-reload failed: {done.stderr.strip()}")


def _systemctl(*words: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return _run(["systemctl", *words], timeout)


def _run(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a program that may take too long: its exit code is then TIMED_OUT, and what it began goes on."""
    try:
        return subprocess.run(
            command, env=environment(), capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, TIMED_OUT, "", f"no answer within {timeout:.0f} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: {error.strerror}")
