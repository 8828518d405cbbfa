"""The contenders of an upgrade of a described service, and one in batches: a figure is only of what was done."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodewise.bench.app import BACK, AppBatches, AppRoll, Described
from nodewise.errors import SetupError

pytestmark = pytest.mark.slow
LIES = "sudo sh -c 'cd /opt/nodewise/greeter/releases && rm -r 1.1.0 && cp -a 1.0.0 1.1.0'"


def test_beside_a_shell_loop(tmp_path: Path) -> None:
    """Each has a sample, all begin alike; the loop has none when a member does not say the new version."""
    bench = AppRoll(tmp_path)
    try:
        bench.prepare()
        bench.round(1)
        assert [1, 1] == [len(bench.rows[0].floor), len(bench.rows[0].nodewise)]
        bench.fixture.put_back()
        assert {"1.0.0"} == {member.version for member in bench.fixture.status()}
        bench.fixture.on(
            bench.fixture.names[:1], ["sudo sh -c 'cd /opt/nodewise/greeter/releases && rm -r 1.1.0 && cp -a 1.0.0 1.1.0'"]
        )
        with pytest.raises(SetupError, match=r"`bash` ended with 1, so it has no figure"):
            bench._floor(2)
        assert 1 == len(bench.rows[0].floor)
    finally:
        bench.clean()


def test_in_batches(tmp_path: Path) -> None:
    """The floor is of whole batches: the canary and the rest of the last one do not count."""
    bench = AppBatches(tmp_path, 6)
    try:
        bench.prepare()
        bench.round(1)
        assert [1, 2, 2, 1] == [len(one["nodes"]) for one in bench.journal("app-batches-6", 1) if "batch" in one]
        assert 0 < bench.rows[0].floor[0] < bench.rows[0].nodewise[0]
        assert_all_run(bench, "1.1.0")
    finally:
        bench.clean()


def assert_all_run(bench: Described, version: str) -> None:
    """Every process says so; and the first one does, once it was put back."""
    assert {version} == {member.version for member in bench.fixture.status()}
    bench.fixture.on(bench.fixture.names[:1], [BACK])
    assert {version, "1.0.0"} == {member.version for member in bench.fixture.status()}
