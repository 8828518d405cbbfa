"""The table of bad days, after the tests that made it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from tests.simulation.bad_days import ROWS, Row, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a row for each bad day that came to its end, also when what it promises was not kept."""
    if ROWS:
        terminalreporter.section("bad days")
        for line in table(ROWS):
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run in processes of their own, their rows have to come from there."""
    if output := getattr(session.config, "workeroutput", None):
        output["bad_days"] = [asdict(row) for row in ROWS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the rows of a process that has ended."""
    ROWS.extend(Row(**row) for row in getattr(node, "workeroutput", {}).get("bad_days", []))
