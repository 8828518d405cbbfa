"""When a benchmark is called worse: threshold and test agree, and a second measurement says so again."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodewise.bench import compare, table
from nodewise.bench.figures import Report, Row
from nodewise.bench.significance import p_greater
from nodewise.errors import UnknownResult, UsageError

from .benched import Made, command, report, row

SIX = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05]
NOISY = [0.7, 0.8, 1.0, 1.1, 1.9, 2.0]


def times(by: float, samples: list[float]) -> list[float]:
    """All of them, longer by a factor."""
    return [by * one for one in samples]


@pytest.mark.parametrize(
    ("these", "those", "p"),
    [
        ([7, 8, 9, 10, 11, 12], [1, 2, 3, 4, 5, 6], 1 / 924),
        ([6, 8, 9, 10, 11, 12], [1, 2, 3, 4, 5, 7], 2 / 924),
        ([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], 1.0),
        ([4, 5, 6], [1, 2, 3], 1 / 20),
        ([1, 1, 1], [1, 1, 1], 1.0),
        ([2, 2, 2], [1, 1, 2], 4 / 20),
        ([1], [], 1.0),
    ],
)
def test_the_rank_sum(these: list[float], those: list[float], p: float) -> None:
    """Its probabilities are those of the published tables, and exact with ties."""
    assert p == pytest.approx(p_greater(these, those))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_the_rank_sum_counts_every_deal(these: list[int], those: list[int]) -> None:
    """It is what dealing the samples out in every possible way gives."""
    together = [*these, *those]
    rank = [sum(2 * (other < one) + (other == one) for other in together) for one in together]
    deals = [sum(rank[at] for at in deal) for deal in combinations(range(len(together)), len(these))]
    assert sum(total >= sum(rank[: len(these)]) for total in deals) / len(deals) == pytest.approx(p_greater(these, those))


@pytest.mark.parametrize(
    ("before", "now", "again", "verdict"),
    [
        pytest.param(SIX, SIX, None, "same", id="nothing changed"),
        pytest.param(SIX, times(1.25, SIX), times(1.25, SIX), "worse (confirmed)", id="worse twice"),
        pytest.param(SIX, times(1.25, SIX), SIX, "worse once, not confirmed", id="worse once"),
        pytest.param(SIX, times(1.25, SIX), times(1.25, NOISY), "worse once, not confirmed", id="the second time by chance"),
        pytest.param(SIX, times(1.15, SIX), times(1.15, SIX), "same", id="the test says so, the threshold does not"),
        pytest.param(SIX, times(1.25, NOISY), times(1.25, NOISY), "same", id="the threshold says so, the test does not"),
        pytest.param(SIX, times(0.7, SIX), None, "better", id="better"),
        pytest.param(SIX, times(0.9, SIX), None, "same", id="a little better"),
        pytest.param(SIX, times(2, SIX[:5]), None, "too few samples", id="five samples now"),
        pytest.param(SIX[:5], times(2, SIX), None, "too few samples", id="five samples before"),
        pytest.param([0.0] * 6, [1.0] * 6, [1.0] * 6, "worse (confirmed)", id="there was none of it"),
        pytest.param([0.0] * 6, [0.0] * 6, None, "same", id="still none of it"),
    ],
)
def test_a_verdict(before: list[float], now: list[float], again: list[float] | None, verdict: str) -> None:
    """Each verdict, and what is not enough for it."""
    old, new, second = (Row("failed", "", "operations", "value", 0, nodewise=one or []) for one in (before, now, again))
    found = compare.change(old, new, 0.2)
    found.again = compare.change(old, second, 0.2) if again else None
    assert verdict == found.verdict


def test_a_slower_machine_is_no_regression() -> None:
    """What is compared is the ratio to the floor of the same round; seconds may double."""
    before = report(row(floor=SIX, nodewise=times(3, SIX)))
    now = report(row(floor=times(2, SIX), nodewise=times(6, SIX)))
    assert [("roll", 3.0, 3.0, "same")] == [(c.row.name, c.before, c.now, c.verdict) for c in compare.compare(before, now, 0.2)]


@pytest.mark.parametrize(("slower", "verdict"), [(2.0, "same"), (2.6, "worse once, not confirmed")])
def test_without_a_floor_the_calibration_counts(slower: float, verdict: str) -> None:
    """A machine half as fast takes twice as long for both; the figure of before is given as this machine would have it."""
    before = Row("judge", "", "ms", "value", 9, nodewise=times(4, SIX), calibration=SIX)
    now = Row("judge", "", "ms", "value", 9, nodewise=times(4 * slower, SIX), calibration=times(2, SIX))
    found = compare.change(before, now, 0.2)
    assert [8.2, verdict] == [pytest.approx(found.before), found.verdict]


def test_figures_of_before_there_was_a_calibration() -> None:
    """Seconds are compared with seconds then, never with a ratio."""
    before = Row("cluster-5", "", "s", "value", 9, nodewise=SIX)
    found = compare.change(before, Row("cluster-5", "", "s", "value", 9, nodewise=SIX, calibration=times(7, SIX)), 0.2)
    assert [found.before, "same"] == [found.now, found.verdict]


def test_a_round_whose_floor_is_nothing_is_left_out() -> None:
    """No ratio can be made of it, so there may be too few."""
    before, now = row(floor=SIX, nodewise=SIX), row(floor=[0.0, *SIX[1:]], nodewise=SIX)
    assert "too few samples" == compare.change(before, now, 0.2).verdict


def test_the_code_of_before_counts_more_than_its_figures() -> None:
    """Where a row was measured by both codes in turns, an earlier night's figures are not asked."""
    old, mine = (Row("judge", "", "ms", "value", 9, nodewise=times(by, SIX), calibration=SIX) for by in (9, 1))
    now = Report({}, [mine], {}, before=[mine])
    assert ["same"] == [found.verdict for found in compare.compare(report(old), now, 0.2)]


@pytest.mark.parametrize(
    ("now", "says"), [(report(row("nodes-5", floor=[1.0], nodewise=[1.0])), "roll"), (report(row()), "none now")]
)
def test_what_cannot_be_compared_is_unknown(now: Report, says: str) -> None:
    """No row in common, or a figure that is missing, is not read as good."""
    with pytest.raises(UnknownResult, match=says):
        compare.compare(report(row(floor=[1.0], nodewise=[1.0])), now, 0.2)


@pytest.mark.parametrize(("text", "value"), [("20%", 0.2), ("0.2", 0.2), (" 5% ", 0.05)])
def test_a_threshold(text: str, value: float) -> None:
    """As a percentage or as a fraction."""
    assert value == compare.threshold(text)


@pytest.mark.parametrize("text", ["", "-5%", "a lot", "20%%"])
def test_no_threshold(text: str) -> None:
    """Anything else says what was expected."""
    with pytest.raises(UsageError, match="such as 20%"):
        compare.threshold(text)


@pytest.mark.parametrize(
    ("first", "second", "code", "says"),
    [
        (SIX, None, 0, "roll  1.02    1.02  +0%     0.565  same"),
        (times(1.5, SIX), times(1.4, SIX), 1, "roll  1.02    1.54 / 1.44  +50% / +40%  0.001 / 0.001  worse (confirmed)"),
        (times(1.5, SIX), SIX, 0, "roll  1.02    1.54 / 1.02  +50% / +0%  0.001 / 0.565  worse once, not confirmed"),
    ],
)
def test_the_alert(
    first: list[float], second: list[float] | None, code: int, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 1 is for what two measurements called worse; what did not look worse is measured once."""
    report(row(floor=[1.0] * 6, nodewise=SIX)).save(tmp_path / "last.json")
    benches = [Made(*first), *([Made(*second)] if second else [])]
    words = ("--against", "last.json", "--threshold", "20%", "--summary", "summary.md")
    found, output = command(monkeypatch, tmp_path, benches, *words)
    assert [code, True] == [found, says in output], output
    summary = (tmp_path / "summary.md").read_text()
    assert f"### Benchmarks: {'1 worse' if code else 'no regression'}, compared with last.json" in summary
    assert [6] * len(benches) == [sum(word.startswith("round") for word in bench.asked) for bench in benches]


def test_too_few_samples_of_the_earlier_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of three rounds proves nothing: exit code 3 with what to do, and no headline that says there is no regression."""
    report(row(floor=[1.0] * 3, nodewise=SIX[:3])).save(tmp_path / "last.json")
    found, output = command(monkeypatch, tmp_path, [Made(*SIX)], "--against", "last.json", "--summary", "summary.md")
    assert [3, True] == [found, "too few samples to compare roll" in output and "--rounds 6" in output]
    assert "### Benchmarks: 1 could not be compared" in (tmp_path / "summary.md").read_text()


def test_too_few_rounds_are_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Five rounds cannot be compared whatever they show, so nobody waits for them."""
    report(row(floor=[1.0] * 6, nodewise=SIX)).save(tmp_path / "last.json")
    bench = Made(*SIX)
    found, output = command(monkeypatch, tmp_path, [bench], "--against", "last.json", "--rounds", "5", "--summary", "summary.md")
    assert [3, []] == [found, bench.asked]
    assert "5 samples cannot tell" in output
    assert "### Benchmarks: no result" in (tmp_path / "summary.md").read_text()


def test_a_first_night_is_compared_with_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an earlier run the summary says so, and appends its figures to what is there."""
    (tmp_path / "summary.md").write_text("# Night\n")
    found, _output = command(monkeypatch, tmp_path, [Made(*SIX)], "--rounds", "6", "--summary", "summary.md")
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert [0, "# Night", "### Benchmarks: compared with nothing"] == [found, *lines[:2]]
    assert "| roll | 1.00 s | - | 1.02 s | 1.02 | 3.5 | yes | - | an upgrade |" in lines


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--against", "nowhere.json"], "nowhere.json cannot be read"),
        (["--against-commit", "no-such-branch"], "no such commit"),
        (["--against", "nowhere.json", "--against-commit", "HEAD"], "expected one of them"),
    ],
)
def test_bad_input_is_told_before_anything_is_measured(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is not there costs no ten minutes."""
    bench = Made(4.0)
    code, output = command(monkeypatch, tmp_path, [bench], *words)
    assert [2, []] == [code, bench.asked]
    assert says in output


def test_rows_without_an_earlier_figure_are_named() -> None:
    """A row that is new is not passed over as if it had been compared."""
    now = report(row(floor=SIX, nodewise=SIX), row("new", floor=SIX, nodewise=SIX))
    found = compare.compare(report(row(floor=SIX, nodewise=SIX)), now, 0.2)
    assert "Not compared, as the other side has no figures: new." == table.changes(now, found)[-1]


def test_a_small_probability_is_never_shown_as_nothing() -> None:
    """Chance is never ruled out, however many samples there are."""
    before, now = row(floor=SIX * 2, nodewise=SIX * 2), row(floor=SIX * 2, nodewise=times(2, SIX * 2))
    assert "<0.001" in table.changes(report(now), [compare.change(before, now, 0.2)])[1]
