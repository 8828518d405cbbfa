"""The contenders of an upgrade on a real cluster: they begin alike, and a figure is only of what was done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodewise.bench import roll
from nodewise.errors import SetupError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[roll.Roll]:
    """A bench of upgrades that is ready for its rounds."""
    made = roll.Roll(tmp_path_factory.mktemp("bench"))
    try:
        made.prepare()
        yield made
    finally:
        made.clean()


@pytest.mark.parametrize("time_over", [1, 2])
def test_every_upgrade_begins_alike(bench: roll.Roll, time_over: int) -> None:  # noqa: ARG001  (again, after the first one)
    """However the last one ended, the first version runs again and the last node leads."""
    bench.fixture.put_back()
    assert [(roll.FROM, False), (roll.FROM, False), (roll.FROM, True)] == bench.fixture.status()


def test_an_upgrade_that_did_not_happen_has_no_figure(bench: roll.Roll) -> None:
    """A contender that ends well while members run the old version is an error, not a fast one."""
    with pytest.raises(SetupError, match=r"run 3\.4\.23 after the upgrade, expected 3\.5\.16; it has no figure"):
        bench.under_load(lambda: 0.01)


def test_the_floor_needs_a_staged_release(bench: roll.Roll) -> None:
    """The shell loop fails where it cannot do its work, and what it said is kept."""
    bench.fixture.put_back(unstaged=roll.TO)
    with pytest.raises(SetupError, match=r"(?s)`bash` ended with.*roll-9-floor\.log"):
        bench._floor(9)
    assert [] == bench.roll.floor


def test_all_contenders(bench: roll.Roll) -> None:
    """Each has one sample after a round, of a positive time, and no client saw a failure."""
    bench.round(1)
    assert [1, 1, 1] == [len(samples) for samples in (bench.roll.floor, bench.roll.usual, bench.roll.nodewise)]
    assert min(bench.roll.floor + bench.roll.nodewise + bench.upgrade.nodewise + bench.stall.floor) > 0
    assert {0.0} == set(bench.failed.nodewise)
    assert ["start", "probe", "plan", "secure", "stage", "roll", "finalize", "end"] == list(bench.phases["upgrade"][0])
