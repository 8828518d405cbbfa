# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Smoke suites by host, while they run: drawn on a terminal; a line each elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nodewise.record.run import Run
from nodewise.views.live import follow_journal

Feed = dict[str, Any]


class Board:
    """Sessions by host, from the journal: drawn on a terminal; a line each elsewhere."""

    def __init__(self, run: Run) -> None:
        self.run, self.console = run, Console(highlight=False, markup=False, emoji=False)
        self.expected: dict[str, str] = {}  # session -> what is expected of it
        self.cells: dict[tuple[str, str], Text] = {}
        self.began: dict[tuple[str, str], float] = {}

    def feed(self, record: Feed) -> None:
        """One record of the journal."""
        session = str(record.get("smoke") or "")
        if record["kind"] == "note" and "digest" in record:
            self.expected[session] = str(record["text"])
            self._say(str(record["text"]))
        elif record["kind"] == "step" and session:
            self._step((session, record.get("node") or "controller"), record)

    def _step(self, place: tuple[str, str], record: Feed) -> None:
        if record["phase"] == "begin":
            self.began[place] = time.monotonic()
            return
        self.began.pop(place, None)
        well = "passed" if record.get("tried", 1) else "nothing was tried"
        word = well if record["ok"] else str(record.get("error") or "failed")
        style = "red" if not record["ok"] else "green" if record.get("tried", 1) else "yellow"
        self.cells[place] = Text(f"{word}, {record['duration_s']:.1f} s", style=style)
        self._say(f"  {place[1]}: {self.cells[place]}")

    def _say(self, text: str) -> None:
        if not self.console.is_terminal:
            click.echo(text)

    def table(self) -> Table:
        """The table as it stands."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("suite", "host", "state"):
            table.add_column(column, no_wrap=column != "state")
        now = time.monotonic()
        running = {place: Text(f"running {now - at:.0f} s", style="cyan") for place, at in list(self.began.items())}
        for (session, host), cell in sorted({**self.cells, **running}.items()):
            table.add_row(session, host, cell)
        return table

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Follow the journal meanwhile; the drawing is gone afterwards, as the table of what was found takes its place."""
        stop = threading.Event()
        thread = threading.Thread(target=follow_journal, args=(self.run.journal, self.feed, stop), daemon=True)
        thread.start()
        live = Live(get_renderable=self.table, console=self.console, refresh_per_second=4, transient=True)
        try:
            if self.console.is_terminal:
                with live:
                    yield
            else:
                yield
        finally:
            stop.set()
            thread.join(5)
            sys.stdout.flush()
