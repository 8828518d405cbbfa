# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Journal records in words: the lines that a view prints, with their colour. Times are relative to the run's first record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain

from nodewise.model import GOOD
from nodewise.text import cut
from nodewise.views.board import PHASES, Board, Record

Line = tuple[str, str]  # text, rich style
INDENT = 10  # columns that the time takes


def lasting(record: Record, board: Board) -> Iterator[Line]:
    """What deserves lines that stay, beside a table that shows the rest."""
    shown = record["kind"] == "note" and ("outcome" in record or "members" in record)  # the table has them
    tell = {"note": note, "fault": fault}.get(record["kind"], trouble)
    return timed(record, board, () if shown else tell(record, board))


def plain(record: Record, before: Board, board: Board) -> Iterator[Line]:
    """Everything worth a line where nothing is drawn. `before` and `board`: the state without this record, and with it."""
    tell = {"step": step, "note": note, "fault": fault}.get(record["kind"])
    told = tell(record, board) if tell else changes(before, board) if record["kind"] == "observe" else ()
    return timed(record, board, chain(trouble(record, board), told))


def timed(record: Record, board: Board, lines: Iterable[Line]) -> Iterator[Line]:
    """Lines about one record: the time into the run, in seconds, before the first."""
    time = f"{(record['t'] - (board.began or record['t'])) / 1e9:{INDENT - 3}.1f}s  "
    for number, (line, style) in enumerate(lines):
        yield (" " * INDENT if number else time) + line, style


def trouble(record: Record, board: Board) -> Iterator[Line]:
    """A gate that was not passed, with the evidence; a step that failed, with its error unless that was told already.

    Of a phase that failed nothing is said: the outcome comes with it, and says why.
    """
    if record["kind"] == "gate" and not record["ok"]:
        how, style = (f"is waived ({record['waived']})", "yellow") if record.get("waived") else ("failed", "red")
        yield f"{where(record)}gate {record['gate']} {how}: {record['fail_msg']}", style
        if record.get("found") is not None:
            yield f"  found: {shorten(record['found'])}", style
    if record["kind"] != "step" or record["phase"] != "end" or record["ok"]:
        return
    silent = record["step"] == "settle" and not record.get("error")  # the gates after it say why
    if silent or (record["step"] in PHASES and not record.get("node")):
        return
    why = str(record.get("error") or "no message")
    first, *rest = [""] if board.said_before(why, record) else why.splitlines()
    yield f"{where(record)}{record['step']} failed{f': {first}' if first else ''}", "bold red"
    for line in rest:
        yield f"  {line}", "red"


def step(record: Record, _board: Board) -> Iterator[Line]:
    """A step that is done, and the beginning of one that takes back another."""
    if record["phase"] == "begin" and record["step"] == "undo":
        yield f"{where(record)}is put back", "yellow"
    if record["phase"] == "end" and record["ok"]:
        took = f" in {record['duration_s']:.1f} s" if record.get("duration_s") is not None else ""
        yield f"{where(record)}{record['step']} done{took}", ""


def fault(record: Record, _board: Board) -> Iterator[Line]:
    """A fault that was proved to be in effect, or to be healed; and one that could not be."""
    name = f"fault {record['fault']} ({record['what']})"
    if record["state"] == "failed":
        yield f"{name} failed: {record['error']}", "bold red"
    elif "evidence" in record:
        in_effect = record["state"] == "in_effect"
        yield f"{name} is {'in effect' if in_effect else 'healed'}: {record['evidence']}", "yellow" if in_effect else ""


def note(record: Record, board: Board) -> Iterator[Line]:
    """A note, the plan that comes with it, and how the run ended."""
    outcome = record.get("outcome")
    text = board.reason if outcome else record.get("text", "") + (f" to {record['to']}" if record.get("to") else "")
    style = "" if not outcome else "green" if record.get("good", outcome in GOOD) else "bold red"
    first, *rest = (f"{outcome}: {text}" if outcome else text).splitlines() or [""]
    yield first, style
    for line in [*rest, *str(record.get("plan", "")).splitlines()]:
        yield line if line.startswith("  ") else f"  {line}", style


def changes(before: Board, board: Board) -> Iterator[Line]:
    """Versions, leadership and service, where they are others than before."""
    for node in board.nodes.values():
        old = before.nodes.get(node.name)
        if node.version and (not old or node.version != old.version):
            was = f" (was {old.version})" if old and old.version else ""
            yield f"{node.name}  runs {node.version}{was}", ""
        if node.leader and not (old and old.leader):
            yield f"{node.name}  leads", ""
        if node.serving is False and (not old or old.serving is not False):
            yield f"{node.name}  does not serve", ""
        if node.serving and old and old.serving is False:
            yield f"{node.name}  serves again", ""


def where(record: Record) -> str:
    """The node of a record, set off from what follows."""
    return f"{record['node']}  " if record.get("node") else ""


def shorten(value: object, width: int = 160) -> str:
    """A value as JSON in one line."""
    return cut(json.dumps(value, default=str), width)
