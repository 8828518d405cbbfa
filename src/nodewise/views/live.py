# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one renderer: journal records in; a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import copy
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self, TextIO

from rich.console import Console, ConsoleOptions, Group
from rich.live import Live
from rich.text import Text

from nodewise.record.journal import Reader
from nodewise.text import fit, wrapped
from nodewise.views import words
from nodewise.views.board import PHASES, Board
from nodewise.views.table import ASCII, MARKS, Table

POLL = 0.1  # seconds between looks at a journal
EVERY = 10.0  # seconds between lines about the workload, where nothing is drawn

MS = 1000
PLAIN = 100  # columns of a plan where nothing is drawn


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
    """Shows a run while it happens. `members` and `title` are taken from the journal where they are empty; it has these `phases`.

    A context manager: on a terminal the table is drawn from entering to leaving, and stays as it was last.
    """

    def __init__(
        self,
        members: Iterable[str],
        stream: TextIO,
        tty: bool,
        clock: Callable[[], int] = time.time_ns,
        phases: Iterable[str] = PHASES,
        title: str = "",
    ) -> None:
        self.board = Board(members, phases)
        self.board.title = title
        self._over = False
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
        self._over = True
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
            told = words.lasting(record, self.board) if self._live else words.plain(record, before, self.board)
            width = self._console.width if self._live else PLAIN if record.get("plan") else None
            lines = [(part, style) for line, style in told for part in (wrapped(line, width) if width else [line])]
        # Not under the lock: rich prints under a lock of its own, under which its other thread asks for the table.
        self.say(*lines)

    def workload(self, stats: Load) -> None:
        """How the workload does."""
        with self._lock:
            self._load = stats
            if not self._live and self._clock() - self._load_told > EVERY * 1e9:
                self._tell_load()

    def say(self, *lines: words.Line) -> None:
        """Lines that stay, each with its style: above the table, or after the others."""
        if lines:
            self._console.print(Text("\n").join(Text(fit(line), style=style) for line, style in lines), soft_wrap=True)

    def table(self) -> _Now:
        """The table as it stands, in the size of the terminal on which it is printed."""
        return _Now(self)

    def drawn(self, width: int, height: int) -> Group:
        """The table as it stands, in so many columns and lines."""
        with self._lock:
            lines = (
                [Text(self._load_line(self._load), style="red" if self._load.failed or self._load.lost else "")]
                if self._load
                else []
            )
            return Table(self.board, self._marks, self._clock(), width, height, self._over).drawn(lines)

    def _tell_load(self) -> None:
        if self._load:
            self._load_told = self._clock()
            self.say(*words.timed({"t": self._load_told}, self.board, [(self._load_line(self._load), "")]))

    @staticmethod
    def _load_line(load: Load) -> str:
        p99 = "" if load.p99_ms is None else f"  p99 {_time(load.p99_ms)}"
        lost = "" if load.lost is None else f"  lost {load.lost}"
        counted = f"{load.ok:,} ok  {load.failed} failed  {load.info} maybe"
        return f"workload {load.rate:.0f}/s  {counted}{lost}{p99}  stall {_time(load.longest_stall_ms)}"


def _time(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < MS else f"{ms / MS:.1f}s"


class _Now:
    """What a view shows at the moment of printing: rich says how large the terminal is then."""

    def __init__(self, view: View) -> None:
        self._view = view

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Group]:
        yield self._view.drawn(options.max_width, options.max_height)


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
