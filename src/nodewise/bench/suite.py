"""A whole benchmark: rounds over all rows, so that what else the machine does meets every contender alike."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from nodewise.bench import phases
from nodewise.bench.figures import Report, Row
from nodewise.bench.nodes import Cluster, Demo, Nodes
from nodewise.bench.postgresql import PostgresqlRoll
from nodewise.bench.roll import FROM, Roll, Rolling
from nodewise.bench.smoke import Smoke
from nodewise.record.run import new_folder, provenance
from nodewise.testnet.home import locked
from nodewise.testnet.interrupt import SIGNALS, interruptible

NAMES = ("nodes", "smoke", "cluster", "roll", "postgresql", "demo")


class Bench(Protocol):
    """Some rows that are measured together."""

    rows: list[Row]

    def prepare(self) -> None:
        """Make what all rounds share; also after a run that was killed."""

    def round(self, number: int) -> None:
        """Add one sample of each contender to the rows. An error ends the benchmark: there is no figure for what failed."""

    def clean(self) -> None:
        """Remove all that it made; also half of it, also twice."""


def chosen(names: Sequence[str], folder: Path, *, full: bool) -> list[Bench]:
    """The benches of these names; `full` adds the rows that take long. The demo is among them only then, or when it is named."""
    wanted = names or [name for name in NAMES if name != "demo" or full]
    made: dict[str, Callable[[], list[Bench]]] = {
        "nodes": lambda: [Nodes(count, folder) for count in ([5, 10] if full else [5])],
        "smoke": lambda: [Smoke(count, folder) for count in ([5, 10] if full else [5])],
        "cluster": lambda: [Cluster(5, FROM, folder)],
        "roll": lambda: [Roll(folder)],
        "postgresql": lambda: [PostgresqlRoll(folder)],
        "demo": lambda: [Demo(folder)],
    }
    return [bench for name in NAMES if name in wanted for bench in made[name]()]


def measure(names: Sequence[str], rounds: int, say: Callable[[str], None], *, full: bool = False) -> tuple[Report, Path]:
    """Measure, and return the report with the folder that holds it as bench.json. Whatever happens, nothing stays up.

    SetupError: something failed; KeyboardInterrupt. There is then no report.
    """
    folder = new_folder(Path("runs").absolute(), "bench", "local")
    with interruptible(), locked("bench"):
        folder.mkdir(parents=True)
        about = {**provenance(), "rounds": rounds, "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
        benches = chosen(names, folder, full=full)
        with ExitStack() as cleaning:
            for bench in benches:
                cleaning.callback(bench.clean)
            cleaning.callback(_undisturbed)
            _rounds(benches, rounds, say)
    report = Report(about, [row for bench in benches for row in bench.rows], _phases(benches))
    report.save(folder / "bench.json")
    return report, folder


def _rounds(benches: Sequence[Bench], rounds: int, say: Callable[[str], None]) -> None:
    for bench in benches:
        say(f"preparing {', '.join(row.name for row in bench.rows)}")
        bench.prepare()
    for number in range(1, rounds + 1):
        for bench in benches:
            say(f"round {number} of {rounds}: {', '.join(row.name for row in bench.rows)}")
            bench.round(number)


def _undisturbed() -> None:
    """What is being removed is removed to its end: a second Ctrl-C is not heard."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _phases(benches: Sequence[Bench]) -> dict[str, dict[str, float]]:
    return {row: phases.medians(runs) for bench in benches if isinstance(bench, Rolling) for row, runs in bench.phases.items()}
