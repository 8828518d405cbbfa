# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was found, for people and for a CI system: lines for the terminal, test cases in junit.xml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nodewise.record import junit
from nodewise.smoke.cases import Case
from nodewise.smoke.session import Concluded, conclude, sessions
from nodewise.smoke.verdict import Result

ROWS, SHOWN, LINES = 40, 10, 6  # scripts that are listed; those whose lines are shown, and how many of each


def lines(done: Concluded) -> Iterator[str]:
    """A table of one session: what did not simply pass, with the first lines that show why."""
    session, counts = done.session, done.counts
    about = f" ({session.about})" if session.about else ""
    cases = f", {counts.cases} cases" if counts.cases else ""
    flaky = f", {counts.flaky} flaky" if counts.flaky else ""
    yield (
        f"{'ok    ' if done.ok else 'FAILED'} {session.suite}{about}, tier {session.tier}, on {len(session.hosts)}: "
        f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped of {counts.expected}{cases}{flaky}"
    )
    if session.changed:
        yield f"       these are not the cases of {session.was}: {', '.join(session.changed)}"
    failed = [one for one in done.results if one.status == "fail"]
    told = failed + [one for one in done.results if one.status == "skip" or (one.status == "pass" and (one.flaky or one.notes))]
    host, script = (max((len(getattr(one, key)) for one in told), default=0) for key in ("host", "script"))
    for number, one in enumerate(told[:ROWS]):
        yield f"  {_word(one):7}  {one.host:{host}}  {one.script:{script}}  {_why(one)}".rstrip()
        yield from (f"             | {line}" for line in one.lines[:LINES] if number < SHOWN)
    if len(told) > ROWS:
        yield f"  … and {len(told) - ROWS} more, in {session.id}/results.json"
    if not done.ok and not failed:
        yield f"  {done.reason}"


def _word(one: Result) -> str:
    if one.status == "fail":
        return "timeout" if one.timeout else "failed"
    return "skipped" if one.status == "skip" else "flaky" if one.flaky else "passed"


def _why(one: Result) -> str:
    return "; ".join(filter(None, [one.reason, *one.notes]))


def put_junit(folder: Path) -> None:
    """Put a suite for each session into the run's junit.xml; once, however often it is called."""
    if done := [conclude(folder, one.id) for one in sessions(folder)]:
        junit.put(folder, {f"smoke {one.session.id}": list(_cases(one)) for one in done})


def _cases(done: Concluded) -> Iterator[junit.Case]:
    for result in done.results:
        for case in _told(result):
            where, lines, notes = f"{done.session.id}.{result.host}", "\n".join(result.lines), "\n".join(result.notes)
            yield junit.Case(where, case.name, case.status, case.reason, lines, notes, case.seconds)


def _told(result: Result) -> list[Case]:
    """A script's cases; the script itself where it has none, or where it failed although none of them did."""
    told = [Case(f"{result.script}: {one.name}", one.status, one.reason, one.seconds) for one in result.cases]
    if not told or (result.status == "fail" and all(one.status != "fail" for one in told)):
        told.append(Case(result.script, result.status, result.reason, result.seconds))
    return told
