# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`testnet bench`: Nodewise beside a shell loop and a usual playbook, and beside an earlier run of itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodewise.cli.lifecycle import say
from nodewise.errors import NodewiseError, UsageError

if TYPE_CHECKING:
    from nodewise.bench.compare import Change


@click.command()
@click.option("--rounds", type=click.IntRange(1), help="Samples of each contender; medians count.  [default: 3, or 6 to compare]")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["micro", "scale", "nodes", "smoke", "cluster", "faults", "roll", "postgresql", "app", "demo"]),
    help="May be given several times.",
)
@click.option("--row", multiple=True, metavar="NAME", help="Only this row, and those that come with it; several times.")
@click.option("--full", is_flag=True, help="Also 10 nodes, 200 hosts, and `make demo`.")
@click.option("--against", type=click.Path(path_type=Path), metavar="FILE", help="bench.json of an earlier run.")
@click.option("--against-commit", metavar="REVISION", help="Measure micro rows by that code, too, in turns with this one's.")
@click.option("--threshold", default="20%", show_default=True, help="How much worse than there a figure may be.")
@click.option("--strict", is_flag=True, help="Exit with 1 when a limit is not met.")
@click.option("--summary", type=click.Path(path_type=Path), metavar="FILE", help="Append the result to it, as Markdown.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Also write bench.json there, if it exits with 0.")
def bench(  # noqa: PLR0913  (an argument is an option)
    *,
    rounds: int | None,
    only: tuple[str, ...],
    row: tuple[str, ...],
    full: bool,
    against: Path | None,
    against_commit: str | None,
    threshold: str,
    strict: bool,
    summary: Path | None,
    save: Path | None,
) -> None:
    """Measure on this machine: hot paths, making nodes, a cluster, and an upgrade under load, as ratios to a bare shell loop.

    \b
    testnet bench
    testnet bench --only roll --rounds 5
    testnet bench --row plan-1000 --against-commit main
    testnet bench --against last-night/bench.json --threshold 20% --summary summary.md

    A row is worse when its median grew by more than the threshold, a rank-sum test over at least six samples of each side says
    that this is no chance, and a second measurement says both again.

    Exit codes: 0 measured, 1 a row is worse than before (or, with --strict, than its limit), 2 bad input, 3 not comparable,
    4 something failed and has no figure.
    """
    from nodewise.bench import compare, regressions, suite, table

    tolerated = compare.threshold(threshold)
    if against and against_commit:
        raise UsageError("--against and --against-commit: expected one of them; the file names the commit that it was measured by")
    try:
        before = regressions.of_file(against, say) if against else None
        before = regressions.of_commit(against_commit) if against_commit else before
        names = only or (("micro",) if against_commit else ())
        _tell_if_busy()
        wish = suite.Wish(names, full, frozenset(row) or None)
        report, folder, found = regressions.measure(wish, rounds or (6 if before else 3), before, tolerated, say)
    except NodewiseError as error:
        _append(summary, ["### Benchmarks: no result", "", *str(error).splitlines()])
        raise
    lines = [*table.table(report.rows), *table.phases(report), "", *table.changes(report, found), f"record  {folder}"]
    click.echo("\n".join(lines))
    _append(summary, table.summary(report, found, before.name if before else "", tolerated))
    code = _exit_code(found, missed=strict and not all(row.met for row in report.rows))
    if save and not code:
        save.parent.mkdir(parents=True, exist_ok=True)
        report.save(save)
    sys.exit(code)


def _tell_if_busy() -> None:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > 0.75 * cores:
        say(f"this machine is busy (load {load:.1f} on {cores} cores): the figures will be noisy")


def _append(summary: Path | None, lines: Sequence[str]) -> None:
    if summary:
        with summary.open("a") as file:
            file.write("\n".join(lines) + "\n")


def _exit_code(found: Sequence[Change], *, missed: bool) -> int:
    """A regression is more than what cannot be said."""
    if missed or any(change.verdict == "worse (confirmed)" for change in found):
        return 1
    few = [change.row.name for change in found if change.verdict == "too few samples"]
    if few:
        say(f"too few samples to compare {', '.join(few)}: both runs need six rounds or more (--rounds 6)")
    return 3 if few else 0
