"""Steps of the whole cluster, a point of no return at one of them, and a system without quorum, leader and fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.errors import Refused
from nodewise.gates.vocabulary import builtin_gates
from nodewise.model import Declaration, NoReturn, Step
from nodewise.upgrade.declared import declaration, lacked, vocabulary
from tests.notes import NAMES
from tests.unit.simulated import Simulated

ROLE = Path(__file__).parents[1] / "collections/ansible_collections/acme/demo/roles/notes"
TO: dict[str, Any] = {"component": "page"}
DECLARED = declaration(ROLE, "page")


@pytest.fixture
def notes(tmp_path: Path) -> Simulated:
    """A healthy cluster on its first pages."""
    cluster = Simulated(tmp_path)
    for name in NAMES:
        cluster.member(name, page="1.0")
    cluster.cluster(width=1, narrow=True, changes=0)
    return cluster


def pages(notes: Simulated) -> list[str]:
    """The page of each member."""
    return [notes.member(name)["page"] for name in NAMES]


def reason(notes: Simulated) -> str:
    """Why the last run ended as it did."""
    return str(notes.summary()["reason"])


def test_around_the_roll(notes: Simulated) -> None:
    """One before the first node, one after the last, each once; and done, neither is taken again."""
    assert "upgraded" == notes.upgrade("1.1", **TO)
    begun = [r["step"] for r in notes.journal() if r["kind"] == "step" and r["phase"] == "begin"]
    order = ["widen", "roll", "turn", "turn", "turn", "throw_away", "finalize"]
    assert order == [step for step in begun if step in order]
    assert {"width": 2, "narrow": False, "changes": 2} == notes.cluster()
    notes.next_run()
    assert "unchanged" == notes.upgrade("1.1", **TO)
    assert 2 == notes.cluster()["changes"]


def test_the_plan_tells_them(notes: Simulated) -> None:
    """What is done when, the point of no return, and what is not asked."""
    assert "planned" == notes.upgrade("1.1", check=True, **TO)
    plan = " ".join(notes.journal_plan().split())
    assert "widen the cluster, before the first node, unless it is done; then asks wide" in plan
    assert "throw_away the cluster, after the last node, unless it is done; then asks thrown_away" in plan
    assert "no return when narrow pages are thrown away; asked for before it" in plan
    assert "not asked quorum, leader, fingerprint: the system has none" in plan


def test_nobody_approved(notes: Simulated) -> None:
    """All nodes are upgraded, and the run pauses before the step; approved, it goes on from there, and there is no way back."""
    assert "paused" == notes.upgrade("1.1", approve="", **TO)
    assert "the point of no return of 1.0 → 1.1 lies ahead (when narrow pages are thrown away), and nobody" in reason(notes)
    assert ["1.1"] * 3 == pages(notes)
    assert {"width": 2, "narrow": True, "changes": 1} == notes.cluster()
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1", **TO)
    assert {"width": 2, "narrow": False, "changes": 2} == notes.cluster()
    notes.next_run()
    assert "refused" == notes.rollback(**TO)
    assert "step throw_away of the cluster is done, when narrow pages are thrown away; there is no way back" in reason(notes)
    assert ["1.1"] * 3 == pages(notes)


def test_a_rollback_before_it(notes: Simulated) -> None:
    """Until then all goes back: the nodes, and then what was done before the first of them."""
    assert "paused" == notes.upgrade("1.1", approve="", **TO)
    notes.next_run()
    assert "rolled_back" == notes.rollback(**TO)
    assert ["1.0"] * 3 == pages(notes)
    assert 1 == notes.cluster()["width"]


@pytest.mark.parametrize("how", ["stays", "jams"])
def test_one_that_fails_before_the_first_node(notes: Simulated, how: str) -> None:
    """It did nothing, or its module failed: no node is touched, and it is taken back where that can be."""
    notes.cluster(**{how: "width"})
    outcome = notes.upgrade("1.1", **TO)
    assert ["1.0"] * 3 == pages(notes)
    if how == "stays":
        assert "rolled_back" == outcome
        assert 'widen failed: wide: the pages are narrow; found {"width":1' in reason(notes)
        assert "It was taken back, and 2 gates hold as before" in reason(notes)
    else:
        assert "intervention_required" == outcome
        assert "widen failed: width is jammed\nIt was not taken back: width is jammed" == reason(notes)


def test_one_that_fails_after_the_last_node(notes: Simulated) -> None:
    """It has no undo: the run pauses, and once it is fixed the same command goes on with that step alone."""
    notes.cluster(stays="narrow")
    assert "paused" == notes.upgrade("1.1", **TO)
    assert "throw_away failed: thrown_away: there are narrow pages" in reason(notes)
    assert "It has no undo: look at the cluster, then run the same command again" in reason(notes)
    notes.cluster(stays="")
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1", **TO)
    assert not [r for r in notes.journal() if r.get("step") in ("widen", "turn")]


def test_a_node_that_fails_between_them(notes: Simulated) -> None:
    """It goes back without a cluster's version being asked, though one may not go back after the last step."""
    notes.member("n1", tears_on=["1.1"])
    assert "rolled_back" == notes.upgrade("1.1", **TO)
    assert ["1.0"] * 3 == pages(notes)
    assert "n1: turn failed: settled: the cluster did not settle in time" in reason(notes)
    assert "It is back on 1.0, 3 gates hold as before" in reason(notes)


def test_a_run_that_ends_in_the_middle(notes: Simulated) -> None:
    """Ctrl-C in such a step: the cluster was changed, and it is said in the middle of what."""

    def interrupt(step: str) -> None:
        if step == "widen":
            raise KeyboardInterrupt

    notes.meanwhile = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        notes.upgrade("1.1", **TO)
    notes.once("summary", state="decided")
    notes.once("summary", state="told")
    said = notes.summary()
    assert ("interrupted", "the run ended in the middle of widen of the cluster, whose end was not seen") == (
        said["outcome"],
        said["reason"],
    )


def test_a_quorum_that_there_is_not(notes: Simulated) -> None:
    """Where the system has none, one member of two may be stopped, and nobody waives anything."""
    (notes.folder / "n3.json").unlink()
    notes.inventory(notes={name: {} for name in NAMES[:2]})
    assert "upgraded" == notes.upgrade("1.1", **TO)
    for name in NAMES[:2]:
        notes.member(name, page="1.0", version="1.0.0")
    notes.next_run()
    assert "refused" == notes.upgrade("1.1.0")
    assert "2 of 2 members of notes serve and 2 are needed: stopping one is an outage" in reason(notes)


def gates(*names: str) -> Declaration:
    """The declaration, with these gates at its end."""
    return msgspec.structs.replace(DECLARED, finalize=msgspec.structs.replace(DECLARED.finalize, after=list(names)))


def test_back_has_no_gates_about_what_is_lacking() -> None:
    """Where a role does not say which, those that ask for something that the system does not have are left out."""
    assert ["members_expected", "members_serving", "node_at_target"] == DECLARED.back
    assert ["fingerprint"] == lacked(builtin_gates()["fingerprints_equal"], ["quorum", "fingerprint"])


@pytest.mark.parametrize(
    ("declared", "own", "says"),
    [
        (gates("fingerprints_equal"), {}, "gate fingerprints_equal asks for a fingerprint, which the system does not have"),
        (gates("one_leader"), {}, "gate one_leader asks for a leader"),
        (DECLARED, {"mine": {"that": "now.cluster.quorum > `1`", "fail_msg": "no"}}, "gate mine asks for a quorum"),
        (
            msgspec.structs.replace(DECLARED, steps=[Step("drain", "drain", only="leader")]),
            {},
            "step drain is for the leader, which the system does not have",
        ),
        (msgspec.structs.replace(DECLARED, before_first=[Step("widen", "widen")]), {}, "step widen of the cluster has no gates"),
        (
            msgspec.structs.replace(DECLARED, point_of_no_return=NoReturn("turn", "now")),
            {},
            "the point of no return is before turn; expected one of last_member, finalize, widen, throw_away",
        ),
    ],
)
def test_what_cannot_be_declared(declared: Declaration, own: dict[str, Any], says: str) -> None:
    """Refused when the plan is made, with what is wrong and what was expected."""
    with pytest.raises(Refused, match=says):
        vocabulary(declared, own)
