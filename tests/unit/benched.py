"""Benches for tests: `testnet bench` on made-up samples, which fail when none is left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from nodewise.bench import suite
from nodewise.bench.figures import Report, Row
from nodewise.bench.suite import Bench, Wish
from nodewise.cli.main import main
from nodewise.errors import SetupError


def row(name: str = "roll", *, limit: float = 3.5, **samples: list[float]) -> Row:
    """A row of seconds whose limit is of the ratio."""
    return Row(name, "an upgrade", "s", "ratio", limit, **samples)


def report(*rows: Row) -> Report:
    """A run with these rows."""
    return Report({}, list(rows), {})


class Made:
    """A bench that adds what it was given, and remembers what was asked of it."""

    def __init__(self, *nodewise: float, floor: float = 1.0) -> None:
        self.rows = [row()]
        self.asked: list[str] = []
        self._nodewise, self._floor = nodewise, floor

    def prepare(self) -> None:
        """Nothing to make."""
        self.asked.append("prepare")

    def round(self, number: int) -> None:
        """A sample each; none left is a failure."""
        self.asked.append(f"round {number}")
        if number > len(self._nodewise):
            raise SetupError("the upgrade ended rolled_back, expected upgraded; it has no figure")
        self.rows[0].floor.append(self._floor)
        self.rows[0].nodewise.append(self._nodewise[number - 1])

    def clean(self) -> None:
        """Nothing to remove."""
        self.asked.append("clean")


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, benches: Sequence[Bench], *words: str) -> tuple[int, str]:
    """Exit code and output of `testnet bench` when its measurements, one after the other, are of these."""
    left = list(benches)

    def chosen(_wish: Wish, _folder: Path) -> list[Bench]:
        return [left.pop(0)]

    monkeypatch.setattr(suite, "chosen", chosen)
    monkeypatch.setattr(suite, "_undisturbed", lambda: None)
    monkeypatch.setenv("NODEWISE_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, ["bench", *words])
    return done.exit_code, done.output
