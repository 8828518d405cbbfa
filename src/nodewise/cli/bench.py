"""`testnet bench`: Nodewise beside a shell loop and a usual playbook."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from nodewise.cli.lifecycle import say


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Samples of each contender; medians count.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["nodes", "smoke", "cluster", "roll", "postgresql", "demo"]),
    help="May be given several times.",
)
@click.option("--full", is_flag=True, help="Also 10 nodes, and `make demo`.")
@click.option("--against", type=click.Path(path_type=Path), metavar="FILE", help="bench.json of an earlier run.")
@click.option("--threshold", default="20%", show_default=True, help="How much worse than there a figure may be.")
@click.option("--strict", is_flag=True, help="Exit with 1 when a limit is not met.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Also write bench.json there, if it exits with 0.")
def bench(
    rounds: int, only: tuple[str, ...], full: bool, against: Path | None, threshold: str, strict: bool, save: Path | None
) -> None:
    """Measure on this machine: making nodes, a cluster, and an upgrade under load, as ratios to a bare shell loop.

    \b
    testnet bench
    testnet bench --only roll --rounds 5
    testnet bench --against runs/20260101-120000-bench-local-1a2b/bench.json --threshold 20%

    Exit codes: 0 measured, 1 a figure is worse than before (or, with --strict, than its limit), 2 bad input, 3 not comparable,
    4 something failed and has no figure.
    """
    from nodewise.bench import figures, suite, table

    tolerated = figures.threshold(threshold)
    before = figures.load(against) if against else None
    if os.getloadavg()[0] > 0.75 * (os.cpu_count() or 1):
        say(f"this machine is busy (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores): the figures will be noisy")
    report, folder = suite.measure(only, rounds, say, full=full)
    changes = figures.compare(before, report, tolerated) if before else []
    for line in [*table.table(report.rows), *table.phases(report), *table.changes(changes, tolerated), f"record  {folder}"]:
        click.echo(line)
    missed = strict and not all(row.met for row in report.rows)
    if missed or any(change.worse for change in changes):
        sys.exit(1)
    if save:
        save.parent.mkdir(parents=True, exist_ok=True)
        report.save(save)
