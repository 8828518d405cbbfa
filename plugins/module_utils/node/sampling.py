# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watching one unit for a while: whether it goes on, how its probes do, and what it logs. What cannot be measured is None."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import signal
import ssl
import subprocess
import time
import urllib.parse
from typing import Any, Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import began
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment, home
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import LINE, State, Unit, UnitError

NICE = 10  # what is watched goes first
SHARE = 20  # each round is followed by as many times the CPU time that it took: 5 % of a core at most, whatever a probe costs
LOOK = 1.0  # seconds between two questions to systemd, which cost a process; between them a main process that is gone is seen
GOES_ON = ("active", "reloading")
NOT_FOUND = 404
REFUSED = {400, 401, 403, NOT_FOUND}


def sample(given: dict[str, Any]) -> dict[str, Any]:
    """Return what the module sample returns as `sample`, from its parameters."""
    os.nice(NICE)
    watch = Watch(given["unit"])
    tallies = {"probe": Tally(system_probe(given)), "command": Tally(operators_probe(given))}
    began, at = time.monotonic(), time.time()
    ended = rounds([one.ask for one in tallies.values()], watch.ended, given["seconds"], given["interval"])
    seconds, until = time.monotonic() - began, time.time()
    errors = [f"restarts: {watch.error}"] if watch.error else []
    errors += [f"{what}: {one.problem}" for what, one in tallies.items() if one.problem]
    try:
        patterns = count(given["unit"], at, until, given["patterns"])
    except UnitError as error:
        patterns = None
        errors.append(f"patterns: {error}")
    figures = {what: one.figures() for what, one in tallies.items()}
    return {
        "seconds": round(seconds, 3),
        "restarts": watch.restarts(),
        **figures,
        "patterns": patterns,
        "errors": errors,
        "ended": ended,
    }


def rounds(asks: list[Callable[[], None]], ended: Callable[[], str], seconds: float, interval: float) -> str:
    """Ask all, again and again for so many seconds; return why it ended earlier, or ""."""
    end = time.monotonic() + seconds
    while True:
        began, cost = time.monotonic(), _cpu()
        why = ended()
        if why or began >= end:
            return why
        for ask in asks:
            ask()
        rest = max(interval - (time.monotonic() - began), SHARE * (_cpu() - cost))
        time.sleep(max(0.0, min(rest, end - time.monotonic())))


class Watch:
    """Whether a unit goes on, and how often its main process was replaced since we looked first."""

    def __init__(self, name: str) -> None:
        self.unit, self.error = Unit(name), ""
        self.first = self.last = self._look()

    def ended(self) -> str:
        """Return why there is nothing more to watch, or ""; what systemd does not say ends nothing, but is an error."""
        if time.monotonic() < self._due and (self.last is None or self.last[1] == began(self.last[0].pid)):
            return ""
        self.last = self._look() or self.last
        if self.last is None:
            return ""
        state = self.last[0]
        if state.active not in GOES_ON:
            return f"{self.unit.name} is {state.active} ({state.sub}), result {state.result}"
        return f"the process of {self.unit.name} was replaced" if self.restarts() else ""

    def restarts(self) -> int | None:
        """Return how often: systemd's own count, or once when that did not go up (a restart by hand sets it back to 0)."""
        if self.first is None or self.last is None or self.error:
            return None
        counted = self.last[0].restarts - self.first[0].restarts
        replaced = self.last[0].pid is not None and self.first[1] != self.last[1]
        return max(counted, int(replaced))

    def _look(self) -> tuple[State, str | None] | None:
        self._due = time.monotonic() + LOOK
        try:
            state = self.unit.loaded()
        except UnitError as error:
            self.error = str(error).splitlines()[0]
            return None
        return state, began(state.pid)


class Tally:
    """How often a question was asked, how often in vain, and how long the good answers took."""

    def __init__(self, question: Callable[[], str] | None) -> None:
        self.question = question
        self.took: list[float] = []
        self.failed, self.why = 0, ""

    def ask(self) -> None:
        """Ask once; a question returns why there was no good answer, or ""."""
        if self.question is None:
            return
        began = time.monotonic()
        why = self.question()
        if why:
            self.failed, self.why = self.failed + 1, why
        else:
            self.took.append((time.monotonic() - began) * 1000)

    @property
    def problem(self) -> str:
        """What is to be said besides the figures, or ""."""
        asked = len(self.took) + self.failed
        if self.question is None or (asked and not self.failed):
            return ""
        return f"{self.failed} of {asked} failed, the last one: {self.why}" if asked else "nothing was asked"

    def figures(self) -> dict[str, Any] | None:
        """Return counts and milliseconds; None when nothing was asked."""
        if not self.took and not self.failed:
            return None
        times = {"p50_ms": percentile(self.took, 0.5), "p99_ms": percentile(self.took, 0.99), "max_ms": percentile(self.took, 1)}
        return {"count": len(self.took) + self.failed, "failed": self.failed, **times}


def percentile(values: list[float], share: float) -> float | None:
    """Return a percentile, its rank rounded down: one hiccup among less than a hundred values is no 99th percentile."""
    return round(sorted(values)[int(share * (len(values) - 1))], 1) if values else None


def system_probe(given: dict[str, Any]) -> Callable[[], str] | None:
    """Return the system's own question, by whichever way it was given."""
    own = environment(**{name: str(value) for name, value in given["secrets"].items()})
    probe = (lambda: run(given["probe"], given["timeout"], own)) if given["probe"] else None
    return Request(given["request"], given["timeout"], probe).ask if given["request"] else probe


def operators_probe(given: dict[str, Any]) -> Callable[[], str] | None:
    """Return the operator's own question, a shell line."""
    own = environment(**home())
    return (lambda: run(["/bin/sh", "-c", given["command"]], given["timeout"], own)) if given["command"] else None


def run(command: list[str], timeout: float, env: dict[str, str]) -> str:
    """Run a program; return why it was not good, or "". One that takes too long is ended with all that it began."""
    try:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    with process:
        try:
            said = process.communicate(timeout=timeout)[1].decode("utf-8", "replace").strip().splitlines()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"no end after {timeout:g} s"
    return (
        f"exit code {process.returncode}{': ' if said else ''}{cut(said[-1], LINE) if said else ''}" if process.returncode else ""
    )


class Request:
    """A question over HTTP(S) on a kept connection: thirty times cheaper than a program that asks it, and so far less noisy.

    Where it is refused `instead` is asked from then on.
    """

    def __init__(self, request: dict[str, Any], timeout: float, instead: Callable[[], str] | None = None) -> None:
        self.request, self.timeout, self.paths = request, timeout, list(request["paths"])
        self._instead, self._refused = instead, False
        self._connection: http.client.HTTPConnection | None = None

    def ask(self) -> str:
        """Ask; return why the answer was not good, or ""."""
        if self._refused and self._instead:
            return self._instead()
        try:
            status = self._status()
            while status == NOT_FOUND and len(self.paths) > 1:  # another version has it elsewhere
                self.paths.pop(0)
                status = self._status()
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            return f"{self.request['url']}: {getattr(error, 'strerror', None) or error or type(error).__name__}"
        self._refused = status in REFUSED
        if self._refused and self._instead:
            return self._instead()
        return "" if status == http.client.OK else f"{self.request['url']}{self.paths[0]}: HTTP {status}"

    def _status(self) -> int:
        self._connection = self._connection or self._connect()
        body = self.request["body"]
        self._connection.request("POST" if body else "GET", self.paths[0], json.dumps(body) if body else None)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def _connect(self) -> http.client.HTTPConnection:
        target = urllib.parse.urlsplit(self.request["url"])
        if target.scheme != "https":
            return http.client.HTTPConnection(target.hostname or "", target.port, timeout=self.timeout)
        context = ssl.create_default_context(cafile=self.request["ca"])
        if self.request["cert"]:
            context.load_cert_chain(self.request["cert"], self.request["key"])
        return http.client.HTTPSConnection(target.hostname or "", target.port, timeout=self.timeout, context=context)


def count(unit: str, since: float, until: float, patterns: list[str]) -> dict[str, int]:
    """Return in how many of the lines that the unit's processes logged in that time each pattern is found.

    UnitError where there is no line of any time: a unit that logs elsewhere has no lines here, whatever happens to it.
    """
    if not patterns:
        return {}
    name = unit if "." in unit else f"{unit}.service"
    _journal("--sync")  # the last words may still be under way
    if not _journal("--quiet", "--lines=1", "--output=cat", f"_SYSTEMD_UNIT={name}"):
        raise UnitError(f"the journal has no line of {name}; expected its log there")
    times = [f"--since=@{since:.6f}", f"--until=@{until:.6f}"]
    lines = _journal("--quiet", "--output=cat", *times, f"_SYSTEMD_UNIT={name}").splitlines()
    return {pattern: sum(1 for line in lines if re.search(pattern, line)) for pattern in patterns}


def _journal(*words: str) -> str:
    try:
        done = subprocess.run(
            ["journalctl", *words], env=environment(), capture_output=True, text=True, errors="replace", timeout=30, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnitError("journalctl did not answer within 30 s") from None
    except OSError as error:
        raise UnitError(f"journalctl: {error.strerror}") from None
    if done.returncode and "--sync" not in words:  # an older one may not know how; then the last words are those that are there
        raise UnitError(f"journalctl: {cut(done.stderr.strip(), LINE) or f'exit code {done.returncode}'}")
    return done.stdout


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
