# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several members at once, where they do not need one another: how many, from where, and never more than can be spared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.errors import Paused, Refused
from nodewise.gates.context import context
from nodewise.model import Hop, Observation, Plan, Release, Settings, Subject
from nodewise.record.run import Run
from nodewise.upgrade import plan, roll
from nodewise.upgrade.declared import declaration
from nodewise.upgrade.judging import judge_step

from .observed import observation
from .simulated import Simulated

ROLE = Path(__file__).parents[2] / "roles/app"
NAMES = [f"n{number}" for number in range(1, 9)]
QUESTION = {"http": {"port": 80}}
HOP = Hop(start="1.0.0", to="1.1.0", release=Release(version="1.1.0", artifacts=[]), no_return=None)


def seen(done: int = 0, **details: Any) -> Observation:
    """All members, of which the first `done` run the target."""
    versions = {name: {"version": "1.1.0" if number < done else "1.0.0", "role": "peer"} for number, name in enumerate(NAMES)}
    cluster = {"leader": None, "quorum": None, "fingerprint": "7@1", "fingerprint_at": None, "version": None, "details": details}
    return observation(cluster, **versions)


def made(most: str = "1", domains: dict[str, str] | None = None, **service: Any) -> Plan:
    """A plan of a described service, which is stateless unless that is said."""
    said = {"stateless": True, "started": QUESTION, **service}
    declared = declaration(ROLE, described={"nodewise_app": said}.get)
    subject = Subject("c", "app", "nodewise.cluster.app", {"c": NAMES}, domains or {})
    return plan.make(subject, declared, {"c": seen(spare=9)}, plan.Route([HOP]), Settings(max_unavailable=most), {})


@pytest.mark.parametrize(
    ("most", "sizes"),
    [("1", [1] * 8), ("2", [1, 2, 2, 2, 1]), ("25%", [1, 2, 2, 2, 1]), ("5%", [1] * 8), ("50%", [1, 4, 3]), ("100", [1, 7])],
)
def test_how_many(most: str, sizes: list[int]) -> None:
    """A canary alone, then a number or a share of all members, rounded down, one at least."""
    assert sizes == [len(batch.nodes) for batch in made(most).batches]


def test_one_failure_domain() -> None:
    """Members of two domains are never changed in one batch."""
    domains = {name: "a" if name in ("n1", "n2", "n3", "n4") else "b" for name in NAMES}
    assert [["n1"], ["n2", "n3", "n4"], ["n5", "n6", "n7"], ["n8"]] == [batch.nodes for batch in made("3", domains).batches]


@pytest.mark.parametrize("service", [{"stateless": False}, {"stateless": False, "state": QUESTION}])
def test_members_that_need_one_another(service: dict[str, Any]) -> None:
    """They are changed one at a time, and more is refused."""
    assert [1] * 8 == [len(batch.nodes) for batch in made(**service).batches]
    with pytest.raises(Refused, match="need one another: they are changed one at a time"):
        made("2", **service)


@pytest.mark.parametrize("most", ["0", "-1", "x", "0%", "2.5", ""])
def test_no_number(most: str) -> None:
    """What is no number of members is refused."""
    with pytest.raises(Refused, match="expected a number of members such as 2, or a share such as 25%"):
        made(most)


@pytest.mark.parametrize(("spare", "count"), [(9, 4), (2, 2), (1, 1)])
def test_never_more_than_can_be_spared(spare: int, count: int) -> None:
    """The balancer has the last word when the batch begins."""
    batch = roll.next_batch(made("50%", balancer=QUESTION), HOP, {"c": seen(1, spare=spare)})
    assert batch
    assert count == len(batch.nodes)


@pytest.mark.parametrize("details", [{"spare": 0}, {"spare": None, "spare_error": "the load balancer: connection refused"}])
def test_nobody_can_be_spared(details: dict[str, Any]) -> None:
    """Then no batch begins, and it is said why; an unknown number is none."""
    with pytest.raises(Paused, match=r"no member can be spared: (0 members more|the load balancer: connection refused)"):
        roll.next_batch(made("2", balancer=QUESTION), HOP, {"c": seen(1, **details)})


def test_a_balancer_that_cannot_be_asked_is_refused_before_the_first_change() -> None:
    """By a gate of the plan."""
    declared = declaration(ROLE, described=lambda _name: {"stateless": True, "balancer": QUESTION})
    subject = Subject("c", "app", "nodewise.cluster.app", {"c": NAMES})
    with pytest.raises(Refused, match="members_spared: the load balancer cannot spare a member"):
        plan.make(subject, declared, {"c": seen(spare=None)}, plan.Route([HOP]), Settings(), {})


def test_there_are_as_many_parts_as_batches_are_foreseen() -> None:
    """The canary alone, then four, then three; where fewer can be spared, what is left comes after these."""
    rolled = [part for part in roll.parts(made("50%"), {"c": seen()}, asks=False) if "batch" in part["file"]]
    assert [*["batch"] * 3, "further_batches"] == [part["file"] for part in rolled]


def test_more_batches_than_were_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left after them is taken, and the roll ends once."""
    notes, parts = Simulated(tmp_path), roll.parts

    def one_alone(*args: Any, **given: Any) -> list[dict[str, Any]]:
        """The parts as if one batch had been foreseen."""
        found = parts(*args, **given)
        batches = [one for one in found if one["file"] == "batch"]
        at = found.index(batches[0])
        return [*found[:at], batches[0], {"file": "further_batches", "hop": 0}, *found[at + len(batches) :]]

    monkeypatch.setattr(roll, "parts", one_alone)
    assert "upgraded" == notes.upgrade(to="1.1.0")
    assert dict.fromkeys(("n1", "n2", "n3"), "1.1.0") == notes.versions()
    assert [1, 2, 3] == [one["batch"] for one in notes.journal() if "batch" in one]
    assert ["begin", "end"] == [one["phase"] for one in notes.journal() if one.get("step") == "roll"]


def test_a_member_of_the_same_batch_may_restart(tmp_path: Path) -> None:
    """Another one may not."""
    run, before = Run.create(tmp_path / "run", kind="upgrade"), seen(spare=9)
    run.write_plan(made("2"))
    run.observed(before, [], group="c")
    run.note("a batch", batch=1, nodes=["n2", "n3"])
    restarted = {"n2", "n3", "n5"}
    members = [msgspec.structs.replace(one, started_at="later") if one.name in restarted else one for one in before.members]
    run.observed(msgspec.structs.replace(before, members=members), [], group="c")
    assert ["n3", "n5"] == context(run.observations()["c"], before, NAMES, to="", node="n2")["restarted"]
    failed = judge_step(run, ["others_undisturbed"], "n2", "1.1.0")
    assert '["n5"]' in failed


def test_a_worse_end_takes_the_place_of_a_good_one(tmp_path: Path) -> None:
    """A member of the batch was put back, and then another one could not be; else the first decision stands."""
    run = Run.create(tmp_path / "run", kind="upgrade")
    run.conclude("rolled_back", "n2 is back")
    run.conclude("intervention_required", "n3 is not")
    run.conclude("rolled_back", "n4 is back")
    assert ("intervention_required", "n3 is not") == run.outcome()
