# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure, compare with an earlier run or commit, and measure once more what looks worse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nodewise.bench import earlier, figures, suite
from nodewise.bench.compare import Change, compare
from nodewise.bench.figures import Report
from nodewise.bench.significance import ENOUGH
from nodewise.bench.suite import Wish
from nodewise.errors import UnknownResult, UsageError

Say = Callable[[str], None]


class Earlier(NamedTuple):
    """What is compared with: figures, by which name they go, and the commit by whose code micro rows are measured, too."""

    name: str
    report: Report
    commit: str | None


def of_file(path: Path, say: Say) -> Earlier:
    """An earlier run's bench.json. Raises UsageError."""
    report = figures.load(path)
    commit = str(report.about.get("commit") or "")
    found = earlier.resolve(commit) if commit else None
    if not found:
        say(
            f"the code that {path} is of (commit {commit[:12] or 'unknown'}) is not in this clone: micro rows are compared with its"
            " figures alone. To have both measured in turns: git fetch --unshallow"
        )
    return Earlier(f"{path} ({commit[:12] or 'commit unknown'})", report, found)


def of_commit(revision: str) -> Earlier:
    """The code of a commit alone. Raises UsageError."""
    found = earlier.resolve(revision)
    if not found:
        raise UsageError(f"--against-commit {revision}: this clone has no such commit; expected a hash, tag or branch")
    return Earlier(f"commit {found[:12]}", Report({"commit": found}, [], {}), found)


def measure(wish: Wish, rounds: int, before: Earlier | None, tolerated: float, say: Say) -> tuple[Report, Path, list[Change]]:
    """The report, the folder that holds it, and how its rows have changed. Raises UnknownResult for too few rounds to compare."""
    if before is None:
        return *suite.measure(wish, rounds, say), []
    if rounds < ENOUGH:
        raise UnknownResult(f"{rounds} samples cannot tell a regression from chance, expected {ENOUGH} or more: --rounds {ENOUGH}")
    wish = wish._replace(commit=before.commit)
    report, folder = suite.measure(wish, rounds, say)
    changes = compare(before.report, report, tolerated)
    doubtful = {change.row.name for change in changes if change.worse}
    if doubtful:
        say(f"measured once more, as it looks worse: {', '.join(sorted(doubtful))}")
        second, _folder = suite.measure(wish._replace(rows=doubtful), rounds, say, folder / "again")
        again = {change.row.name: change for change in compare(before.report, second, tolerated)}
        for change in changes:
            change.again = again[change.row.name] if change.worse else None
    return report, folder, changes
