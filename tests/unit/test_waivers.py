"""What an operator lets pass, with a reason: what may be, what never, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodewise.errors import Refused
from nodewise.gates.judgement import judge
from nodewise.gates.vocabulary import builtin_gates
from nodewise.model import Gate
from nodewise.upgrade.waivers import refuse_unwaivable
from nodewise.views.summary import ending
from tests.unit.simulated import Simulated

FEW = Gate("few", "count < `9`", "clients are too many", shows="count")
WHY = {"few": "they are ours"}


@pytest.fixture
def notes(tmp_path: Path) -> Simulated:
    """A healthy cluster but for an alarm."""
    made = Simulated(tmp_path)
    for name in ("n1", "n2", "n3"):
        made.member(name, alarm="LATE")
    return made


def test_a_no_passes_with_its_reason() -> None:
    """It is still a no, with its evidence."""
    found = judge(FEW, {"count": 12}, WHY)
    assert (found.ok, found.passes) == (False, True)
    assert {
        "gate": "few",
        "ok": False,
        "fail_msg": "clients are too many",
        "found": 12,
        "waived": "they are ours",
    } == found.record()


@pytest.mark.parametrize(
    ("gate", "context"),
    [
        (FEW, {}),
        (FEW, {"count": "many"}),
        (Gate("few", "keys(count)", "not to be asked"), {"count": 3}),
        (Gate("few", "count < `9`", "data differs", waivable=False), {"count": 12}),
        (Gate("few", "alarms == `[]`", "alarms are raised, or unknown", shows="alarms"), {"alarms": None}),
        (Gate("few", "length(lags) == `3`", "a lag is unknown", measured="max(lags)", bound=9), {"lags": []}),
    ],
    ids=["unknown", "no number", "fails", "data", "unknown made false", "not measured"],
)
def test_what_never_passes(gate: Gate, context: dict[str, Any]) -> None:
    """An answer that nobody knows, and a gate about data."""
    found = judge(gate, context, WHY)
    assert (found.passes, found.waived) == (False, "")


@pytest.mark.parametrize(
    ("waive", "says"),
    [
        ({"no_alarms": " "}, 'no_alarms has no reason; give one: -e \'{"nodewise_waive": {"no_alarms": "REASON"}}\''),
        ({"no_alarms": True}, "no_alarms has no reason"),
        ({"fingerprints_equal": "known"}, "fingerprints_equal cannot be waived: it is about the data, or about what runs"),
        ({"no_alarm": "a slip"}, "nothing is called no_alarm; expected the hash of a difference, or one of cannot_go_back,"),
    ],
)
def test_what_cannot_be_waived(waive: dict[str, Any], says: str) -> None:
    """No reason, no such gate, or one that nobody may waive."""
    with pytest.raises(Refused) as refused:
        refuse_unwaivable(waive, builtin_gates())
    assert says in str(refused.value)
    assert 1 == len(str(refused.value).splitlines())


def test_what_can_be() -> None:
    """A gate, a refusal, and a difference by its hash."""
    refuse_unwaivable({"no_alarms": "known", "quorum_at_risk": "a lab", "5ad10c3f": "it comes with the release"}, builtin_gates())


def test_an_upgrade_with_a_waiver(notes: Simulated) -> None:
    """Without it the upgrade is refused; with it the plan, the record and the last lines have it, by whom, why and when."""
    assert "refused" == notes.upgrade("1.1.0")
    assert "no_alarms" in notes.summary()["reason"]
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0", waive={"no_alarms": "LATE is a known defect of 1.0.0"})
    (one,) = notes.summary()["waived"]
    assert ("no_alarms", "LATE is a known defect of 1.0.0") == (one["name"], one["reason"])
    assert all((one["who"], one["at"]))
    (line,) = [line for line in ending(notes.summary(), notes.run_dir) if line.startswith("waived")]
    assert f"no_alarms by {one['who']} at {one['at']}: LATE is a known defect of 1.0.0" in line
    assert "  waived     no_alarms: LATE is a known defect of 1.0.0" in notes.journal_plan()


def test_what_was_waived_does_not_hold_as_before(notes: Simulated) -> None:
    """A node that was put back is told with the gates that hold; the one that was waived is named apart."""
    notes.member("n1", breaks_on=["1.1.0"])
    assert "rolled_back" == notes.upgrade("1.1.0", waive={"no_alarms": "known"})
    assert "7 gates hold as before (no_alarms waived), and " in notes.summary()["reason"]


def test_a_waiver_is_for_one_run(notes: Simulated) -> None:
    """The nodes remember none: the next run without it is refused."""
    assert "planned" == notes.upgrade("1.1.0", check=True, waive={"no_alarms": "known"})
    notes.next_run()
    assert "refused" == notes.upgrade("1.1.0")


def test_a_gate_that_is_waived_on_the_way(notes: Simulated) -> None:
    """What does not hold after a change is counted as waived, neither as passed nor as failed, and is skipped in junit.xml."""
    gates = {"two_clients": {"that": "length(now.members) < `3`", "fail_msg": "too many members"}}
    waive = {"no_alarms": "known", "two_clients": "a test"}
    assert "upgraded" == notes.upgrade("1.1.0", gates=gates, waive=waive)
    assert 0 == notes.summary()["gates"]["failed"]
    assert {"no_alarms": 0, "two_clients": 4} == {one["name"]: one["times"] for one in notes.summary()["waived"]}
    assert 4 == (notes.run_dir / "junit.xml").read_text().count("<skipped")
