"""The quick rows of the benchmark against their limits: a table at the end. It is no judge: a busy machine is not red."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodewise.bench import table
from nodewise.bench.figures import Row

ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture
def shown(pytestconfig: pytest.Config) -> Callable[[Row], None]:
    """Takes rows that were measured, for the table."""
    return pytestconfig.stash.setdefault(ROWS, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured, and loudly which limits were missed."""
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    terminalreporter.section("benchmarks")
    for line in table.table(rows):
        terminalreporter.write_line(line)
    missed = [row.name for row in rows if not row.met]
    if missed:
        terminalreporter.write_line(
            f"LIMITS MISSED: {', '.join(missed)}. A busy machine does that; measure again when this one is quiet: "
            f"testnet bench {' '.join(f'--row {name}' for name in missed)}",
            red=True,
            bold=True,
        )
