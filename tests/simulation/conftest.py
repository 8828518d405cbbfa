"""The table of bad days, after the tests that made it; and a service that tests of a schema share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import schema_days
from tests.simulation.bad_days import ROWS, Row, table
from tests.system.orders_cluster import Orders


@pytest.fixture(scope="session")
def kept_orders(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orders]:  # noqa: ARG001  (in that home)
    """A service with a schema that the tests of a process share."""
    with schema_days.kept(tmp_path_factory.mktemp("orders")) as three:
        yield three


@pytest.fixture
def orders(kept_orders: Orders) -> Orders:
    """As it was when it was made."""
    return schema_days.as_it_was(kept_orders)


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
