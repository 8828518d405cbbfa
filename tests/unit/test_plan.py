"""Plans: what is refused, in which order nodes go, and what the hash covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise import plan, roll
from nodewise.errors import Held, Refused
from nodewise.model import Artifact, Observation, Plan, Release, Settings, Subject
from nodewise.preflight import refuse_unfit

from .observed import observation

ETCD = Path(__file__).parents[2] / "roles" / "etcd"
NAMES = ["n1", "n2", "n3"]
RELEASE = Release(version="3.5.16", artifacts=[Artifact(url="http://x/etcd.deb", sha256="0" * 64, kind="deb", size=10 << 20)])
FIT = {"free_bytes": 1 << 30, "errors": [], "clock": 10**18}


def made(seen: Observation | None = None, members: list[str] | None = None, **settings: Any) -> Plan:
    """A plan of etcd for the observation."""
    subject = Subject("c", "etcd", "nodewise.cluster.etcd", members or NAMES)
    return plan.make(subject, plan.declaration(ETCD), seen or observation(), ["3.5.16"], RELEASE, Settings(**settings), {})


def test_a_canary_first_and_the_leader_last() -> None:
    """Followers go in the order of their names, the leader after all of them."""
    turns = made().turns
    assert [["n1"], ["n3"], ["n2"]] == [turn.nodes for turn in turns]
    assert "canary" in turns[0].reason
    assert "leader" in turns[-1].reason


def test_members_that_are_done_have_no_turn() -> None:
    """A member that runs the target already is not in the plan's turns."""
    assert [["n3"], ["n2"]] == [turn.nodes for turn in made(observation(n1={"version": "3.5.16"})).turns]


def test_a_leader_that_moved_is_no_drift() -> None:
    """The hash stays when only the leader is another one."""
    moved = observation({"leader": "n1"}, n1={"role": "leader"}, n2={"role": "follower"})
    assert made().hash == made(moved).hash


@pytest.mark.parametrize("other", [{"soak": 5.0}, {"accept_outage": True}])
def test_settings_are_part_of_what_is_approved(other: dict[str, Any]) -> None:
    """The hash changes with a setting."""
    assert made().hash != made(**other).hash


def test_versions_are_part_of_what_is_approved() -> None:
    """The hash changes when a member runs another version."""
    assert made().hash != made(observation(n1={"version": "3.4.24"})).hash


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (observation(n3={"serving": False, "errors": ["refused"]}), "members_serving"),
        (observation(n3=None), "members_expected"),
        (observation(n4={}), "n4"),
        (observation(n3={"fingerprint": "8@1"}), "fingerprints_equal"),
        (observation({"alarms": ["n1: NOSPACE"]}), "NOSPACE"),
        (observation(n3={"role": "learner"}), "learner"),
        (observation({"id": None}), "one_cluster"),
    ],
)
def test_a_cluster_that_is_not_ready_is_refused(seen: Observation, words: str) -> None:
    """Each thing in the way is named."""
    with pytest.raises(Refused, match=words):
        made(seen)


def test_an_outage_is_accepted_or_refused() -> None:
    """Two members both count for the quorum: stopping one is an outage that has to be accepted."""
    two = observation({"quorum": 2}, n3=None)
    with pytest.raises(Refused, match="nodewise_accept_outage"):
        made(two, ["n1", "n2"])
    assert made(two, ["n1", "n2"], accept_outage=True).turns


def test_an_unknown_quorum_is_refused() -> None:
    """What the quorum is has to be known before a member is stopped."""
    with pytest.raises(Refused, match="quorum"):
        made(observation({"quorum": None}))


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({"n1": {**FIT, "free_bytes": 10 << 20}}, "n1: 10 MiB are free"),
        ({"n1": {**FIT, "free_bytes": None}}, "n1: free disk space could not be read"),
        ({"n3": {**FIT, "errors": ["n3.crt expires tomorrow"]}}, "expires tomorrow"),
        ({"n2": {**FIT, "clock": 10**18 + 10 * 10**9}}, "10.0 s apart"),
        ({"n3": {**FIT, "certificates": {"node.crt": {"seconds_left": 60, "not_after": "T"}}}}, "n3: node.crt ends at T"),
        ({"n2": {**FIT, "clock": None}}, "n2: the clock could not be read"),
    ],
)
def test_a_node_that_cannot_carry_it_is_refused(nodes: dict[str, Any], words: str) -> None:
    """A full disk, a clock that is off, and what a node could not say of itself, each by the node's name."""
    with pytest.raises(Refused, match=words):
        refuse_unfit(made(), {name: nodes.get(name, FIT) for name in NAMES})


def test_fit_nodes_pass() -> None:
    """Nodes with room and one time are fit."""
    refuse_unfit(made(), dict.fromkeys(NAMES, FIT))


def test_the_next_turn_comes_from_the_cluster_as_it_is() -> None:
    """A leader that moved in the meantime goes last all the same."""
    moved = observation({"leader": "n3"}, n1={"version": "3.5.16"}, n3={"role": "leader"}, n2={"role": "follower"})
    turn = roll.next_turn(made(), moved)
    assert turn is not None
    assert ["n2"] == turn.nodes
    assert roll.next_turn(made(), observation(**{n: {"version": "3.5.16"} for n in NAMES})) is None


@pytest.mark.parametrize("seen", [observation(n1={"serving": False}), observation({"quorum": None}), observation({"quorum": 3})])
def test_no_turn_begins_where_no_member_may_be_stopped(seen: Observation) -> None:
    """A member that is down, or a quorum that is unknown or would break, holds the run."""
    with pytest.raises(Held):
        roll.next_turn(made(), seen)


def test_leadership_goes_to_an_upgraded_member() -> None:
    """The successor runs the target when one does, and serves in any case."""
    turn = roll.next_turn(made(), observation(n1={"version": "3.5.16"}, n3={"version": "3.5.16"}))
    assert turn is not None
    assert "n1" == roll.successor(made(), turn, observation(n1={"version": "3.5.16"}, n3={"version": "3.5.16"}))
    assert "n3" == roll.successor(made(), turn, observation(n1={"version": "3.5.16", "serving": False}))


@pytest.mark.parametrize(("version", "may"), [("3.4", True), ("3.5", False), (None, False)])
def test_going_back_is_legal_until_the_cluster_moved(version: str | None, may: bool) -> None:
    """The old version is put back only on a cluster that still acts as the old one; not knowing is no permission."""
    assert may == (roll.why_not_back(made(), observation({"version": version})) is None)


def test_drain_is_for_leaders_alone() -> None:
    """A follower is not drained."""
    turn = roll.next_turn(made(), observation())
    assert turn is not None
    assert ["switch"] == [step.name for step in roll.steps_of(made(), turn, observation())["n1"]]


def test_who_is_alone_hands_over_to_nobody() -> None:
    """The only member leads and is switched without a drain."""
    alone = observation({"quorum": 1, "leader": "n1"}, n1={"role": "leader"}, n2=None, n3=None)
    accepted = made(alone, ["n1"], accept_outage=True)
    turn = roll.next_turn(accepted, alone)
    assert turn is not None
    assert ["switch"] == [step.name for step in roll.steps_of(accepted, turn, alone)["n1"]]


def test_a_plan_survives_being_written_down() -> None:
    """What is in plan.yaml is the plan."""
    assert made() == msgspec.convert(msgspec.to_builtins(made()), Plan)


def test_what_is_waited_for_is_filled_in() -> None:
    """`to` in a step's conditions becomes the version of the node in hand and the target's minor."""
    steps = {step.name: step for step in [*made().steps, made().finalize]}
    assert {"n1": "3.5.16"} == plan.settled(steps["switch"], made(), "n1", "3.5.16")["versions"]
    assert "3.5" == plan.settled(steps["finalize"], made(), None, "3.5.16")["cluster_version"]


def test_a_gate_that_nobody_defines_is_refused() -> None:
    """A misspelt gate would never fire, so it is refused by name."""
    declared = plan.declaration(ETCD)
    declared.ready.append("no_such_gate")
    with pytest.raises(Refused, match="no_such_gate"):
        plan.vocabulary(declared, {})
