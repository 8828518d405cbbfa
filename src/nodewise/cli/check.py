# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`nodewise check`: judging a recorded history again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nodewise.errors import UsageError

MODELS = ("register", "cas-register", "kv-append", "mutex", "bank", "set")


@click.command()
@click.argument("history", type=click.Path(path_type=Path))
@click.option("--checker", "names", multiple=True, help="Only this checker; may be given several times.")
@click.option("--model", type=click.Choice(MODELS), help="Judge whether it is linearizable, as an object of this kind.")
@click.option("--explain", is_flag=True, help="Draw the operations that show what is wrong, by process.")
def check(history: Path, names: tuple[str, ...], *, model: str | None, explain: bool) -> None:
    """Judge a recorded HISTORY again: a history.jsonl, the folder of a run, or with --model a history of Jepsen's.

    Without --model all checkers judge that are about the history's operations. With it one question is asked: is there one order of
    the operations that explains every answer? Formats: ours, EDN as Jepsen saves it, and logs of Jepsen's etcd test.

    \b
    nodewise check runs/20260101-120000-rolling-upgrade-demo-1a2b
    nodewise check history.jsonl --checker durable
    nodewise check store/etcd/latest/history.edn --model cas-register --explain

    Exit codes: 0 valid, 1 invalid, 2 no history (nothing was judged), 3 unknown.
    """
    from nodewise.cli.drawn import drawing
    from nodewise.record.run import readable
    from nodewise.simulation.checkers.linearizable import by_name
    from nodewise.simulation.checkers.registry import EXIT_CODES, fitting, judge, merge
    from nodewise.simulation.histories.read import read_any

    if names and model:
        raise UsageError("--checker and --model: expected one of them; --model asks one question, and names its checker")
    if history.is_dir():
        readable(history)
    path = history / "history.jsonl" if history.is_dir() else history
    operations = read_any(path)
    if model:
        verdicts = [by_name(operations, model)]
    else:
        whole = list(operations)
        verdicts = judge(whole, names or fitting(whole))
    for verdict in verdicts:
        click.echo(f"{verdict.valid:8} {verdict.checker}: {verdict.says}")
        if explain and verdict.operations:
            click.echo("\n".join(drawing(verdict.operations)))
    sys.exit(EXIT_CODES[merge(verdicts).valid])
