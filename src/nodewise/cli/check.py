# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`nodewise check`: judging a recorded history again."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("history", type=click.Path(path_type=Path))
@click.option("--checker", "names", multiple=True, help="Only this checker; may be given several times.")
def check(history: Path, names: tuple[str, ...]) -> None:
    """Judge a recorded HISTORY (a history.jsonl, or the folder of a run) again, by all checkers that are about its operations.

    \b
    nodewise check runs/20260101-120000-rolling-upgrade-demo-1a2b
    nodewise check history.jsonl --checker durable
    """
    from nodewise.simulation.checkers.registry import EXIT_CODES, fitting, judge, merge
    from nodewise.simulation.workloads.history import read_history

    operations = read_history(history / "history.jsonl" if history.is_dir() else history)
    verdicts = judge(operations, names or fitting(operations))
    for verdict in verdicts:
        click.echo(f"{verdict.valid:8} {verdict.checker}: {verdict.says}")
    sys.exit(EXIT_CODES[merge(verdicts).valid])
