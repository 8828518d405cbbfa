# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one renderer: journal records in; a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import copy
import io
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nodewise.record.journal import Reader
from nodewise.text import fit
from nodewise.views import words
from nodewise.views.board import Board, Cell, Node

POLL = 0.1  # seconds between looks at a journal
EVERY = 10.0  # seconds between lines about the workload, where nothing is drawn
FRAME = 125_000_000  # ns that one picture of a spinner stands

STYLES = {"waiting": "dim", "running": "cyan", "done": "green", "failed": "bold red", "undoing": "yellow", "undone": "yellow"}
MARKS = {"waiting": "·", "done": "✓", "failed": "✗", "undone": "↩", "leader": "★", "to": "→", "spin": "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"}
ASCII = {"waiting": ".", "done": "ok", "failed": "NO", "undone": "<-", "leader": "*", "to": "->", "spin": "|/-\\"}


class Load(Protocol):
    """What a view asks of a workload's statistics."""

    ok: int
    failed: int
    info: int
    rate: float
    p99_ms: float | None
    longest_stall_ms: float
    lost: int | None


class View:
    """Shows a run while it happens. `members` may be empty: they are taken from the journal then.

    A context manager: on a terminal the table is drawn from entering to leaving, and stays as it was last.
    """

    def __init__(self, members: Iterable[str], stream: TextIO, tty: bool, clock: Callable[[], int] = time.time_ns) -> None:
        self.board = Board(members)
        self._lock = threading.RLock()
        self._clock = clock
        self._marks = MARKS if "utf" in (stream.encoding or "").lower() else ASCII
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what others wrote into the journal must not end the view
        self._load: Load | None = None
        self._load_told = 0
        self._console = Console(file=stream, force_terminal=tty, highlight=False, markup=False, emoji=False, soft_wrap=not tty)
        self._live = Live(get_renderable=self.table, console=self._console, refresh_per_second=8) if tty else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop drawing; safe to call twice."""
        if self._live:
            self._live.stop()
        elif self._load:
            self._tell_load()
            self._load = None

    def feed(self, record: dict[str, Any]) -> None:
        """One record of the journal."""
        if self._live and record.get("asks"):
            self._live.stop()  # the terminal is for the question, until the next record says that it was answered
        elif self._live and not self._live.is_started:
            self._live.start()
        with self._lock:
            before = copy.deepcopy(self.board) if not self._live else self.board
            self.board.feed(record)
            lines = words.lasting(record, self.board) if self._live else words.plain(record, before, self.board)
        # Not under the lock: rich prints under a lock of its own, under which its other thread asks for the table.
        for line, style in lines:
            self.say(line, style)

    def workload(self, stats: Load) -> None:
        """How the workload does."""
        with self._lock:
            self._load = stats
            if not self._live and self._clock() - self._load_told > EVERY * 1e9:
                self._tell_load()

    def say(self, line: str, style: str = "") -> None:
        """A line that stays: above the table, or after the others."""
        self._console.print(Text(fit(line), style=style))

    def table(self) -> Group:
        """The table as it stands."""
        with self._lock:
            now, board = self._clock(), self.board
            lines: list[RenderableType] = [Text(board.title, style="bold"), self._phases(now), self._nodes(now)]
            if board.faults:
                in_effect = ", ".join(f"{name} ({kind})" for name, kind in board.faults.items())
                lines.insert(1, Text(f"in effect: {in_effect}", style="yellow"))
            if self._load:
                lines.append(Text(self._load_line(self._load), style="red" if self._load.failed or self._load.lost else ""))
            if board.outcome:
                lines.append(Text(f"{board.outcome}: {board.reason}", style="bold green" if board.good else "bold red"))
            return Group(*lines)

    def _phases(self, now: int) -> Text:
        line = Text()
        for name, cell in self.board.phases.items():
            line.append(f"{name} ", style="dim" if cell.state == "waiting" else "")
            line.append_text(self._cell(cell, now, timed=cell.state != "done")).append("  ")
        return line

    def _nodes(self, now: int) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("node", "version"):
            table.add_column(column, no_wrap=True)
        for column in self.board.columns:
            table.add_column(column, no_wrap=True, min_width=6)
        for node in self.board.nodes.values():
            cells = [self._cell(node.cells.get(column, Cell()), now) for column in self.board.columns]
            table.add_row(self._name(node), self._version(node), *cells)
        return table

    def _name(self, node: Node) -> Text:
        name = Text(node.name, style="bold red" if node.serving is False else "")
        return name.append(f" {self._marks['leader']}", style="yellow") if node.leader else name

    def _version(self, node: Node) -> Text:
        if node.version == node.was:
            return Text(node.version or "?", style="dim")
        old = Text(f"{node.was} {self._marks['to']} ", style="dim")
        return old.append(node.version, style="green") if node.version else old.append("?", style="red")

    def _cell(self, cell: Cell, now: int, *, timed: bool = True) -> Text:
        active = cell.state in ("running", "undoing")
        spin = self._marks["spin"]
        mark = spin[now // FRAME % len(spin)] if active else self._marks[cell.state]
        took = cell.took(now)
        if cell.passed or cell.failed:
            mark += f" {cell.failed or cell.passed}"
        elif took is not None and timed:
            mark += f" {took:.1f}s"
        return Text(mark, style=STYLES[cell.state])

    def _tell_load(self) -> None:
        if self._load:
            self._load_told = self._clock()
            for line, style in words.timed({"t": self._load_told}, self.board, [(self._load_line(self._load), "")]):
                self.say(line, style)

    @staticmethod
    def _load_line(load: Load) -> str:
        p99 = "" if load.p99_ms is None else f"  p99 {load.p99_ms:.0f} ms"
        lost = "" if load.lost is None else f"  lost {load.lost}"
        counted = f"{load.ok:,} ok  {load.failed} failed  {load.info} maybe"
        return f"workload  {load.rate:.0f}/s  {counted}{lost}{p99}  stall {load.longest_stall_ms:.0f} ms"


def follow_journal(path: Path, feed: Callable[[dict[str, Any]], None], stop: threading.Event) -> None:
    """Feed each record of a journal as it is written, until `stop` is set and all that is there is fed.

    A journal that is not there yet is waited for; a line is fed once it is whole, and one that a crash tore is passed over.
    """
    journal, last = Reader(path), False
    while not last:
        last = stop.wait(POLL)  # before reading: what was written before the stop is then read for certain
        for record in journal.more():
            try:
                feed(record)
            except Exception as problem:  # noqa: BLE001  one that cannot be shown must not hide those after it
                why = f"record {record['seq']} of {path} cannot be shown ({type(problem).__name__}: {problem})"
                with suppress(Exception):
                    feed({**record, "kind": "note", "phase": "end", "text": why, "plan": "", "to": ""})
