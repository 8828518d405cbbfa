# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of a script: from how it ended on its host, and from what it said. Pure: nothing is asked again."""

from __future__ import annotations

import re
import signal

import msgspec

from nodewise.smoke import protocols
from nodewise.smoke.cases import Case, Status, Unparsable, short
from nodewise.smoke.suite import Script
from nodewise.text import cut

FAILED = re.compile(r"\bnot ok\b|\bfail|\berror", re.IGNORECASE)  # in the line that a program prints of a failed case
SKIP = 77  # the exit code of Automake's and of many others' scripts that did not apply


class Ended(msgspec.Struct, kw_only=True):
    """How a script ended on its host, as the module smoke_scripts returns it."""

    script: str
    code: int | None = None
    signal: int | None = None
    timeout: bool = False
    ended_by: str = ""
    error: str = ""
    left: list[str] = []
    alive: list[str] = []
    units: list[str] = []
    seconds: float = 0.0
    stdout: str = ""
    stdout_cut: int = 0
    stderr: str = ""
    stderr_cut: int = 0
    told: str | None = None
    told_cut: int = 0


class Result(msgspec.Struct, kw_only=True):
    """One script on one host. `flaky`: it, or a case of it, passed after a failure; `reported`: False when nothing came of it."""

    script: str
    host: str
    status: Status
    reason: str = ""
    seconds: float = 0.0
    attempts: int = 1
    flaky: bool = False
    timeout: bool = False
    reported: bool = True
    notes: list[str] = []  # besides the verdict: processes left behind, output cut
    cases: list[Case] = []  # empty when its exit code is all that it said
    lines: list[str] = []  # the first that show what failed
    files: list[str] = []  # what is kept of it, relative to the session's folder


def judge(ended: Ended, script: Script, host: str) -> Result:
    """The verdict over one attempt."""
    status, reason, found = _verdict(ended, script)
    return Result(
        script=script.name,
        host=host,
        status=status,
        reason=short(reason),
        seconds=ended.seconds,
        timeout=ended.timeout,
        notes=_notes(ended),
        cases=found,
        flaky=status == "pass" and any(case.flaky for case in found),
        lines=_lines(ended, found) if status == "fail" else [],
    )


def silent(script: str, host: str, reason: str) -> Result:
    """The verdict over a script that did not report: failed."""
    return Result(script=script, host=host, status="fail", reason=short(f"did not report: {reason}"), reported=False, attempts=0)


def again(before: Result, now: Result) -> Result:
    """The verdict after one more attempt: a pass after a failure is a pass, and flaky."""
    now.attempts = before.attempts + 1
    now.seconds = round(before.seconds + now.seconds, 3)
    now.flaky = now.status == "pass"
    now.notes = [*now.notes, *([f"failed before: {before.reason}"] if now.flaky else [])]
    return now


def _verdict(ended: Ended, script: Script) -> tuple[Status, str, list[Case]]:
    problem = script.problem or ended.error or _stopped(ended, script)
    try:
        found = None if script.problem or ended.error else _cases(ended, script)
    except Unparsable as unreadable:
        if problem:
            return "fail", problem, []
        code = "" if ended.code in script.expect else f"; exit code {ended.code}"
        return "fail", f"its output cannot be read: {unreadable}{code}", []
    if problem:
        return "fail", problem, found or []
    if found is None:
        return *_by_code(ended, script), []
    return *_by_cases(ended, script, found), found


def _stopped(ended: Ended, script: Script) -> str:
    if ended.timeout:
        hard = "; it ignored SIGTERM and was killed" if ended.ended_by == "SIGKILL" else ""
        return f"timeout: no end after {script.timeout:g} s{hard}"
    if ended.alive:
        return f"processes that could not be ended: {', '.join(ended.alive)}"
    if ended.signal is not None:
        return f"killed by {_signal(ended.signal)}"
    return "" if ended.code is not None else "it has neither an exit code nor a signal"


def _cases(ended: Ended, script: Script) -> list[Case] | None:
    said, cut = (ended.told, ended.told_cut) if ended.told else (ended.stdout, ended.stdout_cut)
    found = protocols.detect(said) if script.protocol == "auto" else script.protocol
    if ended.told and script.protocol == "auto" and found == "exit":
        raise Unparsable("$NODEWISE_RESULTS holds neither TAP nor JUnit XML nor JSON lines")
    if cut and found != "exit":
        raise Unparsable(f"{cut} bytes were cut out of it, and cases with them; raise `output` or write to $NODEWISE_RESULTS")
    return protocols.cases(said, found)


def _by_code(ended: Ended, script: Script) -> tuple[Status, str]:
    if ended.code in script.expect:
        return "pass", ""
    last = (_lines(ended, []) or [""])[-1]
    if ended.code == SKIP:
        return "skip", last or "exit code 77"
    expected = " or ".join(map(str, script.expect))
    return "fail", f"exit code {ended.code}, expected {expected}{': ' if last else ''}{last}"


def _by_cases(ended: Ended, script: Script, found: list[Case]) -> tuple[Status, str]:
    failed = [case for case in found if case.status == "fail"]
    if failed:
        first = f"{failed[0].name}{': ' if failed[0].reason else ''}{failed[0].reason}"
        return "fail", f"{len(failed)} of {len(found)} failed: {first}"
    skipped = all(case.status == "skip" for case in found)
    if ended.code not in script.expect and not (skipped and ended.code == SKIP):
        expected = " or ".join(map(str, script.expect))
        return "fail", f"no case failed, and yet exit code {ended.code}, expected {expected}"
    return ("skip", found[0].reason if found else "no case") if skipped else ("pass", "")


def _notes(ended: Ended) -> list[str]:
    notes = []
    if ended.left:
        notes.append(f"it left {', '.join(sorted(set(ended.left)))} running; ended")
    if ended.units:
        notes.append(f"units that began meanwhile still run: {', '.join(ended.units)}; end them with systemctl stop")
    for name, lost in (("output", ended.stdout_cut), ("errors", ended.stderr_cut)):
        if lost:
            notes.append(f"{lost} bytes of its {name} were cut")
    return notes


def _lines(ended: Ended, found: list[Case], most: int = 12) -> list[str]:
    """What it printed from the first failed case on; where that is not to be found, its last lines, errors before output."""
    said = (ended.stderr.strip() or ended.stdout.strip() or (ended.told or "").strip()).splitlines()[-most:]
    for text in (ended.stdout, ended.stderr, ended.told or ""):
        lines = text.strip().splitlines()
        if (at := _begins(lines, found)) is not None:
            said = lines[at : at + most]
            break
    return [cut("".join(c if c.isprintable() else "·" for c in line), 200) for line in said]


def _begins(lines: list[str], found: list[Case]) -> int | None:
    """The number of the line that tells of the first failed case."""
    failed = next((case.name.rpartition(" > ")[2] for case in found if case.status == "fail"), None)
    if failed is None:
        return None
    return next((number for number, line in enumerate(lines) if failed in line and FAILED.search(line)), None)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
