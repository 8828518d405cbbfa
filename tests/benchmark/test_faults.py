"""The rows about faults, on real nodes: a figure is of what was done and proved."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodewise.bench.faults import LEASE, Faults
from nodewise.record import journal

pytestmark = pytest.mark.slow


def test_a_round(tmp_path: Path) -> None:
    """Each row has a sample: of a partition that nodes healed by themselves, and of a scenario that was valid."""
    bench = Faults(tmp_path)
    try:
        bench.prepare()
        bench.round(1)
    finally:
        bench.clean()
    assert [1, 1, 1] == [len(row.nodewise) for row in bench.rows]
    asked, proved, healing, healed = journal.read(tmp_path / "partition-1.jsonl")
    assert ["asked", "in_effect", "healing", "healed"] == [one["state"] for one in (asked, proved, healing, healed)]
    assert bench.proved.nodewise[0] <= (healing["t"] - asked["t"]) / 1e9 - 2 * LEASE
    assert all(one["ended"] < healing["t"] / 1e9 for one in healed["on_nodes"].values())
    assert "valid" in (tmp_path / "scenario-1.log").read_text()
