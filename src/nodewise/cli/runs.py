# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`nodewise runs`: the records of runs, the last one last."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nodewise.errors import UnknownResult, UsageError
from nodewise.files import nearby


@click.command()
@click.argument("run", required=False)
@click.option("--folder", type=click.Path(path_type=Path), help="Where records are.  [default: runs]")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each: its summary.")
def runs(run: str | None, folder: Path | None, last: int, as_json: bool) -> None:
    """List the records of runs, the newest last: when, what, of which cluster, and how it ended; or show how RUN ended.

    \b
    nodewise runs
    nodewise runs 20260101-120000-upgrade-payments-1a2b
    nodewise runs --last 1 --json
    """
    from nodewise.record import run as records_of
    from nodewise.record.run import Run
    from nodewise.record.summary import summary_of
    from nodewise.views.summary import ending

    folder = folder or nearby(records_of.runs())
    there = sorted(path.parent for path in folder.glob("*/run.json")) if folder.is_dir() else []
    chosen = [path for path in there if run in (None, path.name)]
    if not chosen:
        raise UsageError(
            f"no record{f' {run}' if run else 's'} in {folder}; name another folder with --folder, or list them: nodewise runs"
        )
    records = [Run(path) for path in chosen[-last:]]
    for record in records:
        try:
            told = record.read_json("summary.json") or summary_of(record)  # a run that was killed has no summary.json
            called = record.read_json("run.json").get("command")
            click.echo(json.dumps(told) if as_json else "\n".join(ending(told, record.folder, called)) if run else _line(told))
        except (UnknownResult, KeyError, TypeError) as problem:
            lacks = (
                f"{record.folder} cannot be read by this version: {type(problem).__name__}: {problem}; look into its summary.json"
            )
            said = problem if isinstance(problem, UnknownResult) else UnknownResult(lacks)
            if run:
                raise said from None
            click.echo(str(said), err=True)  # the others can be listed all the same


def _line(one: dict[str, object]) -> str:
    way = f"{one.get('from') or '?'} → {one['to']}" if one.get("to") else ""
    return f"{one['run_id']:<56}  {one.get('cluster') or '-':<12}  {one.get('outcome') or '-':<21}  {way}".rstrip()
