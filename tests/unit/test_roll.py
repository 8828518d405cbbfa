"""The roll: which batch is next on the cluster as it is now, what may be taken back, and what may not be begun."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from nodewise.errors import Paused, Refused
from nodewise.model import Batch, Observation
from nodewise.upgrade import approval, roll

from .observed import observation
from .test_plan import NAMES, hop, made

NOW = datetime(2026, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=1)))


def next_batch(seen: Observation) -> Batch | None:
    """The next batch of the plan for a healthy cluster, on the cluster as it is `seen`."""
    return roll.next_batch(made(), hop(made()), {"c": seen})


def test_the_next_batch_comes_from_the_cluster_as_it_is() -> None:
    """A leader that moved in the meantime goes last all the same."""
    moved = observation({"leader": "n3"}, n1={"version": "3.5.16"}, n3={"role": "leader"}, n2={"role": "follower"})
    batch = next_batch(moved)
    assert batch is not None
    assert ["n2"] == batch.nodes
    assert next_batch(observation(**{n: {"version": "3.5.16"} for n in NAMES})) is None


@pytest.mark.parametrize("seen", [observation(n1={"serving": False}), observation({"quorum": None}), observation({"quorum": 3})])
def test_no_batch_begins_where_no_member_may_be_stopped(seen: Observation) -> None:
    """A member that is down, or a quorum that is unknown or would break, holds the run."""
    with pytest.raises(Paused):
        next_batch(seen)


def test_leadership_goes_to_an_upgraded_member() -> None:
    """The successor runs the target when one does, and serves in any case."""
    both = observation(n1={"version": "3.5.16"}, n3={"version": "3.5.16"})
    batch = next_batch(both)
    assert batch is not None
    assert "n1" == roll.successor(made(), batch, {"c": both}, "n2")
    assert "n3" == roll.successor(made(), batch, {"c": observation(n1={"version": "3.5.16", "serving": False})}, "n2")


def test_a_plan_is_carried_out_part_by_part() -> None:
    """Backup and staging, then the hop with a batch for each member; where all is done only the end of the run is left."""
    parts = roll.parts(made(), {"c": observation()}, asks=False)
    assert ["secure", "stage", "hop", "batch", "batch", "batch", "finalize", "hop_end"] == [part["file"] for part in parts]
    done = observation({"version": "3.5"}, **{name: {"version": "3.5.16"} for name in NAMES})
    assert ["secure", "stage", "hop_end"] == [part["file"] for part in roll.parts(made(), {"c": done}, asks=False)]


def test_a_question_takes_a_batch_more() -> None:
    """Nobody knows how long an operator thinks about the point of no return: after the answer the batch is resolved anew."""
    counts = [sum(p["file"] == "batch" for p in roll.parts(made(), {"c": observation()}, asks=asks)) for asks in (False, True)]
    assert [3, 4] == counts


def test_a_member_left_in_the_middle_of_its_batch_takes_it_again() -> None:
    """Whatever it runs: what follows the switch may not have been done."""
    done = {"version": "3.5.16"}
    seen = observation({"version": "3.5"}, n1=done, n2=done, n3={**done, "details": {"unfinished": True}})
    assert not roll.done(made(), hop(made()), {"c": seen})
    batch = next_batch(seen)
    assert batch is not None
    assert ["n3"] == batch.nodes
    assert ["switch"] == [step.name for step in roll.steps_of(made(), batch, {"c": seen})["n3"]]
    assert roll.done(made(), hop(made()), {"c": observation({"version": "3.5"}, n1=done, n2=done, n3=done)})


def test_leadership_goes_to_nobody_who_may_not_take_it() -> None:
    """A member whose system says that it is no candidate is passed over, and without any the leader's batch does not begin."""
    done = {"version": "3.5.16"}
    seen = observation(n1={**done, "details": {"candidate": False}}, n3=done)
    batch = next_batch(seen)
    assert batch is not None
    assert "n3" == roll.successor(made(), batch, {"c": seen}, "n2")
    with pytest.raises(Paused, match="n2 leads and no member may take over from it, so it may not be stopped: n1 is no candidate"):
        next_batch(observation(**{name: {**done, "details": {"candidate": False}} for name in ("n1", "n3")}))


def test_who_sees_no_majority_is_not_believed() -> None:
    """Also where the system takes writes with fewer members than that: a primary and its replicas need one."""
    down = {"version": None, "serving": False}
    assert "cut off from n2, n3" in str(roll.cut_off(observation({"quorum": 1}, n2=down, n3=down), "n1"))
    assert roll.cut_off(observation({"quorum": 1}, n2=down), "n1") is None


@pytest.mark.parametrize(("version", "may"), [("3.4", True), ("3.5", False), (None, False)])
def test_going_back_is_legal_until_the_cluster_moved(version: str | None, may: bool) -> None:
    """The old version is put back only on a cluster that still acts as the old one; not knowing is no permission."""
    assert may == (roll.why_not_back(made(), hop(made()), "3.4", version) is None)


def test_drain_is_for_leaders_alone() -> None:
    """A follower is not drained."""
    batch = next_batch(observation())
    assert batch is not None
    assert ["switch"] == [step.name for step in roll.steps_of(made(), batch, {"c": observation()})["n1"]]


def test_who_is_alone_hands_over_to_nobody() -> None:
    """The only member leads and is switched without a drain."""
    alone = observation({"quorum": 1, "leader": "n1"}, n1={"role": "leader"}, n2=None, n3=None)
    accepted = made(alone, ["n1"], waive={"quorum_at_risk": "a test"})
    batch = roll.next_batch(accepted, hop(accepted), {"c": alone})
    assert batch is not None
    assert ["switch"] == [step.name for step in roll.steps_of(accepted, batch, {"c": alone})["n1"]]


def test_the_last_member_is_past_the_point_of_no_return() -> None:
    """Only the batch that leaves no old member crosses it; within a minor none does."""
    two_done = observation(n1={"version": "3.5.16"}, n3={"version": "3.5.16"})
    for seen, crosses in ((observation(), False), (two_done, True)):
        batch = next_batch(seen)
        assert batch is not None
        assert crosses == roll.crosses(made(), hop(made()), batch, {"c": seen})
    patch = observation({"version": "3.5"}, **{name: {"version": "3.5.16"} for name in ("n1", "n2", "n3")})
    within = made(patch, to="3.5.30").hops[-1]
    assert within.no_return is None


def test_a_canary_whose_soak_nobody_saw_is_watched_again() -> None:
    """A run that died in the soak is resumed with it; not when it was seen, when nothing is soaked, or when more are done."""
    one, two = observation(n1={"version": "3.5.16"}), observation(n1={"version": "3.5.16"}, n3={"version": "3.5.16"})
    soaking = made(soak=5.0)
    batch = roll.again(soaking, hop(soaking), {"c": one}, soaked=False)
    assert batch is not None
    assert ["n1"] == batch.nodes
    assert {"n1": []} == roll.steps_of(soaking, batch, {"c": one})
    assert roll.again(soaking, hop(soaking), {"c": one}, soaked=True) is None
    assert roll.again(soaking, hop(soaking), {"c": two}, soaked=False) is None
    assert roll.again(made(), hop(made()), {"c": one}, soaked=False) is None


def test_a_node_that_does_not_come_back_is_held_while_the_others_serve() -> None:
    """It can be brought back as long as there is a quorum; when there is none, or nobody knows, a human is needed."""
    down = {"serving": False}
    assert roll.stuck(made(), observation(n1=down), "n1") == "paused"
    assert roll.stuck(made(), observation(n1=down, n3=down), "n1") == "intervention_required"
    assert roll.stuck(made(), observation({"quorum": None}, n1=down), "n1") == "intervention_required"


def test_a_node_that_is_cut_off_is_not_believed() -> None:
    """With fewer than a quorum in sight nothing is known of the cluster; a single member that is down cuts nobody off."""
    gone = {"version": None, "serving": False}
    assert "cut off from n2, n3" in str(roll.cut_off(observation(n2=gone, n3=gone), "n1"))
    assert roll.cut_off(observation(n2=gone), "n1") is None
    assert roll.cut_off(observation(n1=gone), "n1") is None


def test_data_that_differs_is_known_to_differ() -> None:
    """Different fingerprints are a divergence with names; a fingerprint that could not be read is none."""
    said = roll.diverged(observation(n3={"fingerprint": "8@1"}))
    assert said == "the members' data differs at 9: n1 7@1, n2 7@1, n3 8@1"
    assert roll.diverged(observation(n3={"fingerprint": None})) is None
    assert roll.diverged(observation()) is None


def test_mixed_versions_are_proved_while_there_are_both() -> None:
    """The current node is the new one; after the last batch there is no old member left to ask."""
    proving = made(mixed_version_check=True)
    batch = Batch(["n1"], "")
    assert {"n1": {"old": ["n2", "n3"], "new": ["n1"], "prefix": "/p/"}} == roll.mixed(
        proving, hop(proving), batch, {"c": observation()}, "/p/"
    )
    last = observation(n1={"version": "3.5.16"}, n3={"version": "3.5.16"})
    assert {} == roll.mixed(proving, hop(proving), Batch(["n2"], ""), {"c": last}, "/p/")
    assert {} == roll.mixed(made(), hop(made()), batch, {"c": observation()}, "/p/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("23:45", "2026-01-31T23:45:00+01:00"),
        ("02:00", "2026-02-01T02:00:00+01:00"),
        ("2026-02-01T04:00", "2026-02-01T04:00:00+01:00"),
        ("2026-02-01T04:00Z", "2026-02-01T04:00:00+00:00"),
    ],
)
def test_when_a_window_closes(text: str, expected: str) -> None:
    """A time of day is its next one; a date without a zone is the controller's."""
    opens, closes = approval.window("", text, NOW)
    assert closes is not None
    assert (None, expected) == (opens, closes.isoformat())


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("22:00", "04:00", None),
        ("23:45", "04:00", "2026-01-31T23:45:00+01:00"),
        ("01:00", "04:00", "2026-02-01T01:00:00+01:00"),
        ("22:00", "22:00", None),
        ("22:00", "", None),
        ("23:45", "", "2026-01-31T23:45:00+01:00"),
        ("2026-02-01T01:00", "2026-02-01T04:00", "2026-02-01T01:00:00+01:00"),
        ("2026-01-31T01:00Z", "04:00", None),
    ],
)
def test_when_a_window_opens(start: str, end: str, expected: str | None) -> None:
    """A time of day is the last one before the window closes; nothing is said of a window that is open."""
    opens, _closes = approval.window(start, end, NOW)
    assert expected == (opens.isoformat() if opens else None)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("", "tonight", "nodewise_window_end is 'tonight'; expected a time such as"),
        ("", "25:00", "expected a time such as"),
        ("tonight", "", "nodewise_window_start is 'tonight'; expected a time such as"),
        ("", "2026-01-31T23:00", "has passed"),
        ("2026-02-01T05:00", "2026-02-01T04:00", "is not before"),
    ],
)
def test_a_window_that_is_none(start: str, end: str, words: str) -> None:
    """What is no time, is over, or ends before it begins, is refused before anything begins."""
    with pytest.raises(Refused, match=words):
        approval.window(start, end, NOW)


@pytest.mark.parametrize(("word", "yes"), [("any", True), ("abc", True), ("abd", False), ("", False)])
def test_what_counts_as_approval(word: str, yes: bool) -> None:
    """The plan's own hash, or `any`."""
    assert yes == approval.approved(word, "abc")
