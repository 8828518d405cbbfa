# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a run that does nothing but smoke ends: its outcome, its summary, its junit.xml."""

from __future__ import annotations

from typing import Any

from nodewise.model import Outcome
from nodewise.record.run import Run
from nodewise.record.summary import attempt, summarize
from nodewise.smoke.report import put_junit
from nodewise.smoke.session import Concluded, conclude, sessions, totals

ENDS: dict[bool, Outcome] = {True: "passed", False: "failed"}


def finish(run: Run, why: str = "") -> dict[str, Any]:
    """Decide by what was reported, or by `why` it ended early, and write it down; returns the summary."""
    trouble: list[str] = []
    done: list[Concluded] = attempt(trouble, lambda: judged(run), [])
    ok = bool(done) and not why and all(one.ok for one in done)
    words = "; ".join(f"{one.session.id}: {counted(one)}" for one in done)
    nothing = "the run ended before anything was planned; the reason is above"
    run.conclude(ENDS[ok], f"{why}; {words}" if why and words else why or words or nothing)
    return summarized(run, always=True)


def summarized(run: Run, *, always: bool = False, **more: Any) -> dict[str, Any]:
    """The summary of a run with its sessions, where there are some or `always`, and with `more`, written down: see `summarize`."""
    trouble: list[str] = []
    told = attempt(trouble, lambda: totals(run.folder) if always or sessions(run.folder) else None, None)
    summary = summarize(run, **more, **({"smoke": told} if told else {}))
    attempt(trouble, lambda: put_junit(run.folder), None)
    return {**summary, "unwritten": [*summary["unwritten"], *trouble]}


def judged(run: Run) -> list[Concluded]:
    """All sessions of a run, judged."""
    return [conclude(run.folder, one.id) for one in sessions(run.folder)]


def counted(done: Concluded) -> str:
    """Counts in words."""
    counts = done.counts
    return f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped of {counts.expected}"
