"""Every hot path can be measured. How long it took is shown beside its limit and judged by nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodewise.bench.figures import Row
from nodewise.bench.micro import Micro, measure
from nodewise.testnet.state import checkout


@pytest.mark.parametrize("row", Micro(checkout()).rows, ids=lambda row: row.name)
def test_a_hot_path_is_measured(row: Row, shown: Callable[[Row], None]) -> None:
    """It has a figure, of its own code."""
    measure(checkout(), row)
    shown(row)
    assert row.figure is not None
    assert row.figure > 0
