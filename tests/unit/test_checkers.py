"""What checkers say of recorded situations, and how their verdicts add up."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from nodewise.errors import UsageError
from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.context import Context
from nodewise.simulation.checkers.registry import CHECKERS, EXIT_CODES, judge, merge

CASES = sorted((Path(__file__).parents[1] / "cases" / "checkers").glob("*.json"))


def _load(path: Path) -> tuple[dict[str, dict[str, object]], list[Operation], Context]:
    case = json.loads(path.read_text())
    return case["expected"], msgspec.convert(case["history"], list[Operation]), Context(**case.get("context", {}))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    """Each recorded situation gets its verdict, and the words that name what is wrong."""
    expected, history, context = _load(path)
    for verdict in judge(history, expected, context):
        wanted = expected[verdict.checker]
        assert wanted["valid"] == verdict.valid, verdict.says
        assert wanted.get("lost", 0) == verdict.lost
        assert str(wanted.get("says", "")) in verdict.says


def test_every_checker_says_every_verdict_somewhere() -> None:
    """No checker is without a case that it passes and one that it does not."""
    seen = {(name, wanted["valid"]) for path in CASES for name, wanted in _load(path)[0].items()}
    assert {(name, "valid") for name in CHECKERS} <= seen
    assert {(name, "unknown") for name in CHECKERS} <= seen
    assert {(name, "invalid") for name in CHECKERS if name != "traffic"} <= seen


def test_evidence_is_the_write_and_its_acknowledgement() -> None:
    """A lost write comes with the operations that asked for it and acknowledged it."""
    _, history, _ = _load(next(path for path in CASES if path.stem == "value_of_an_older_write"))
    (verdict,) = judge(history, ["durable"])
    assert history[2:4] == verdict.operations[:2]


def test_a_checker_that_crashes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in a checker never reads as a pass."""

    def broken(_: object) -> Verdict:
        raise ZeroDivisionError("oh")

    monkeypatch.setitem(CHECKERS, "durable", broken)
    (verdict,) = judge([], ["durable"])
    assert (verdict.valid, verdict.says) == ("unknown", "the checker could not judge: ZeroDivisionError: oh")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "unknown"),
        (["valid", "valid"], "valid"),
        (["valid", "unknown"], "unknown"),
        (["unknown", "invalid", "valid"], "invalid"),
    ],
)
def test_merge(verdicts: list[str], expected: str) -> None:
    """Invalid wins over unknown, unknown over valid, and nothing at all is unknown."""
    merged = merge([Verdict("x", valid, valid, lost=1) for valid in verdicts])  # type: ignore[arg-type]
    assert (expected, len(verdicts)) == (merged.valid, merged.lost)
    assert expected in merged.says or not verdicts


def test_exit_codes() -> None:
    """The command's exit code tells the three verdicts apart."""
    assert EXIT_CODES == {"valid": 0, "invalid": 1, "unknown": 3}


def test_a_checker_that_is_not_there() -> None:
    """A checker's name that is not known is an error that lists those that are."""
    with pytest.raises(UsageError, match="no checker durabel; there are: durable,"):
        judge([], ["durabel"])
