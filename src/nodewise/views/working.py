# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines about work in progress, and on a terminal a spinner with the time below them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from rich.text import Text

from nodewise.text import fit


@contextmanager
def working(*, err: bool) -> Iterator[Callable[[str], None]]:
    """A function that says a line, to stderr or to stdout; the spinner is gone afterwards."""
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        yield lambda text: click.echo(text, err=err)
        return
    console = Console(file=stream, highlight=False)
    with Progress(
        SpinnerColumn(), TimeElapsedColumn(), console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as shown:
        shown.add_task("")
        yield lambda text: console.print(Text(fit(text)))
