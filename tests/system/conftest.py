"""The table of bad days, after the tests that made it."""

from __future__ import annotations

import pytest

from tests.system.bad_days import ROWS, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a row for each bad day that came to its end, also when what it promises was not kept."""
    if ROWS:
        terminalreporter.section("bad days")
        for line in table(ROWS):
            terminalreporter.write_line(line)
