# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole benchmark: rounds over all rows, so that what else the machine does meets every contender alike."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

from nodewise.bench import phases
from nodewise.bench.app import AppBatches, AppRoll
from nodewise.bench.faults import Faults
from nodewise.bench.figures import Report, Row
from nodewise.bench.micro import Micro
from nodewise.bench.nodes import Cluster, Demo, Nodes
from nodewise.bench.postgresql import PostgresqlRoll
from nodewise.bench.roll import FROM, Roll, Rolling
from nodewise.bench.sampling import calibration
from nodewise.bench.scale import Scale
from nodewise.bench.smoke import Smoke
from nodewise.errors import UsageError
from nodewise.record.run import new_folder, provenance, runs
from nodewise.testnet.home import locked
from nodewise.testnet.interrupt import SIGNALS, interruptible

NAMES = ("micro", "scale", "nodes", "smoke", "cluster", "faults", "roll", "postgresql", "app", "demo")


class Bench(Protocol):
    """Some rows that are measured together."""

    rows: list[Row]

    def prepare(self) -> None:
        """Make what all rounds share; also after a run that was killed."""

    def round(self, number: int) -> None:
        """Add one sample of each contender to the rows. An error ends the benchmark: there is no figure for what failed."""

    def clean(self) -> None:
        """Remove all that it made; also half of it, also twice."""


class Wish(NamedTuple):
    """What is to be measured: benches by name, all when there is none; `full` adds what takes long; `rows` are all that matter.

    `commit`: the code that micro rows are measured by, too.
    """

    names: Sequence[str] = ()
    full: bool = False
    rows: AbstractSet[str] | None = None
    commit: str | None = None


def chosen(wish: Wish, folder: Path) -> list[Bench]:
    """The benches that were wished for. The demo is among them only when all is to be measured, or when it is named.

    Raises UsageError for a row that none of them has.
    """
    wanted = wish.names or [name for name in NAMES if name != "demo" or wish.full]
    made: dict[str, Callable[[], list[Bench]]] = {
        "micro": lambda: [Micro(folder, wish.commit)],
        "scale": lambda: [Scale(count, folder) for count in ([50, 200] if wish.full else [50])],
        "nodes": lambda: [Nodes(count, folder) for count in ([5, 10] if wish.full else [5])],
        "smoke": lambda: [Smoke(count, folder) for count in ([5, 10] if wish.full else [5])],
        "cluster": lambda: [Cluster(5, FROM, folder)],
        "faults": lambda: [Faults(folder)],
        "roll": lambda: [Roll(folder)],
        "postgresql": lambda: [PostgresqlRoll(folder)],
        "app": lambda: [AppRoll(folder), *([AppBatches(folder, 30)] if wish.full else [])],
        "demo": lambda: [Demo(folder)],
    }
    found = [bench for name in NAMES if name in wanted for bench in made[name]()]
    return found if wish.rows is None else _limited(found, wish.rows)


def _limited(benches: list[Bench], rows: AbstractSet[str]) -> list[Bench]:
    names = {row.name for bench in benches for row in bench.rows}
    if unknown := sorted(rows - names):
        raise UsageError(f"no row {', '.join(unknown)}; there are: {', '.join(sorted(names))}")
    for bench in benches:
        if isinstance(bench, Micro):
            bench.limit(rows)
    return [bench for bench in benches if any(row.name in rows for row in bench.rows)]


def measure(wish: Wish, rounds: int, say: Callable[[str], None], folder: Path | None = None) -> tuple[Report, Path]:
    """Measure, and return the report with the folder that holds it as bench.json. Whatever happens, nothing stays up.

    SetupError: something failed; KeyboardInterrupt. There is then no report.
    """
    folder = folder or new_folder(runs(), "bench", "local")
    with interruptible(), locked("bench"):
        benches = chosen(wish, folder)
        folder.mkdir(parents=True)
        about = {**provenance(), "rounds": rounds, "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
        with ExitStack() as cleaning:
            for bench in benches:
                cleaning.callback(bench.clean)
            cleaning.callback(_undisturbed)
            _rounds(benches, rounds, say)
    before = [row for bench in benches if isinstance(bench, Micro) for row in bench.before]
    report = Report(about, [row for bench in benches for row in bench.rows], _phases(benches), before)
    report.save(folder / "bench.json")
    return report, folder


def _rounds(benches: Sequence[Bench], rounds: int, say: Callable[[str], None]) -> None:
    for bench in benches:
        say(f"preparing {', '.join(row.name for row in bench.rows)}")
        bench.prepare()
    for number in range(1, rounds + 1):
        for bench in benches:
            say(f"round {number} of {rounds}: {', '.join(row.name for row in bench.rows)}")
            alone = [] if isinstance(bench, Micro) else [row for row in bench.rows if row.alone]
            took = [calibration()] if alone else []
            bench.round(number)
            for row in alone:
                row.calibration += took


def _undisturbed() -> None:
    """What is being removed is removed to its end: a second Ctrl-C is not heard."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _phases(benches: Sequence[Bench]) -> dict[str, dict[str, float]]:
    return {row: phases.medians(runs) for bench in benches if isinstance(bench, Rolling) for row, runs in bench.phases.items()}
