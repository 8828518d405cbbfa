"""What an upgrade decides, and how it ends, on simulated clusters: no playbook runs, no node is there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from ansible_collections.nodewise.cluster.plugins.action import batch, begin, sample
from nodewise.errors import NodewiseError
from nodewise.record.commands import following
from nodewise.views.summary import ending
from tests.notes import NAMES
from tests.unit.simulated import OURS, EndOfPlayError, HostVars, Simulated

NOBODY = {"n1": 0, "n2": 0, "n3": 0}


@pytest.fixture
def notes(tmp_path: Path) -> Simulated:
    """A healthy cluster."""
    return Simulated(tmp_path)


def refused(notes: Simulated, to: str = "1.1.0", **given: Any) -> str:
    """Run an upgrade that must be refused without a change, and return why."""
    before = notes.starts()
    assert "refused" == notes.upgrade(to, **given)
    assert before == notes.starts()
    return str(notes.summary()["reason"])


def approved(notes: Simulated) -> str:
    """The hash of the last plan."""
    return str(yaml.safe_load((notes.run_dir / "plan.yaml").read_text())["hash"])


# --- what a fact cache keeps -----------------------------------------------------------------------------------------


def test_a_run_does_not_begin_with_the_facts_of_the_last(notes: Simulated) -> None:
    """A fact cache gives the facts of a run that paused to the next one, which goes through all the same."""
    assert "paused" == notes.upgrade("1.1.0", approve="")
    notes.cached = notes.vars
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0")


def test_a_node_that_is_not_seen_does_not_answer_from_the_cache(notes: Simulated) -> None:
    """What a node said in the run before is no answer in this one."""
    assert "paused" == notes.upgrade("1.1.0", approve="")
    notes.cached, notes.lost = notes.vars, ("n2",)
    notes.next_run()
    assert "n2 did not answer" in refused(notes)


def test_every_fact_is_forgotten() -> None:
    """Each fact that an action sets has a value that no run has set yet; `begin` sets it."""
    files = sorted((Path(__file__).parents[2] / "plugins/action").glob("*.py"))
    named = {name for file in files for name in re.findall(r'"(nodewise_\w+)":', file.read_text())}
    assert begin.STATE.keys() == named | set(sample.FACTS.values())


# --- refused before anything changes ---------------------------------------------------------------------------------


def test_no_target(notes: Simulated) -> None:
    """Without nodewise_to nothing begins."""
    assert "-e nodewise_to=" in refused(notes, to="")


def test_unknown_version(notes: Simulated) -> None:
    """A version that nobody knows is refused, with those that are known."""
    assert "known: 1.0.0, 1.1.0, 1.2.0" in refused(notes, to="9.9.9")


def test_going_back(notes: Simulated) -> None:
    """An older target is refused."""
    for name in NAMES:
        notes.member(name, version="1.2.0")
    assert "older" in refused(notes)


@pytest.mark.parametrize(
    ("fields", "words"), [({"serving": False}, "n3"), ({"data": "other"}, "fingerprints_equal"), ({"role": "leader"}, "one leader")]
)
def test_a_cluster_that_is_not_healthy(notes: Simulated, fields: dict[str, Any], words: str) -> None:
    """A member that is down, data that differs and a second leader are each named, and no member is stopped."""
    notes.member("n3", **fields)
    assert words in refused(notes)


def test_a_limit_that_leaves_members_out(notes: Simulated) -> None:
    """--limit must not shrink what is looked at; a limit to the whole cluster is no shrinking."""
    notes.limit = ("n1",)
    assert "n2, n3" in refused(notes)
    notes.next_run()
    notes.limit = NAMES
    assert "upgraded" == notes.upgrade("1.1.0")


def test_an_unknown_cluster(notes: Simulated) -> None:
    """A cluster that is not in the inventory is named, with those that are."""
    assert "it has notes" in refused(notes, cluster="other")


def test_two_clusters_and_none_named(notes: Simulated) -> None:
    """Nothing is guessed between two clusters."""
    notes.inventory(notes={name: {} for name in NAMES}, more={"m1": {}})
    assert "more, notes" in refused(notes)


@pytest.mark.parametrize("lost", [("n3",), NAMES])
def test_nodes_that_cannot_be_reached(notes: Simulated, lost: tuple[str, ...]) -> None:
    """One node, or all: they are named, and nothing begins."""
    notes.lost = lost
    assert f"{', '.join(lost)} did not answer" in refused(notes)


def test_a_play_that_nobody_is_left_in(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no node is left the run comes to no plan; its end names those that did not answer all the same."""

    def lost(*_given: object) -> None:
        raise EndOfPlayError

    monkeypatch.setattr(notes, "whole", lost)
    assert "n1, n2, n3 did not answer; every member must be reachable" in refused(notes)


def test_a_cluster_that_cannot_lose_a_member(notes: Simulated) -> None:
    """Two members need both: refused, until the outage is waived with a reason."""
    notes.inventory(notes={"n1": {}, "n2": {}})
    assert '-e \'{"nodewise_waive": {"quorum_at_risk": "REASON"}}\'' in refused(notes)
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0", waive={"quorum_at_risk": "nobody uses it on Sundays"})


def test_staging_that_fails_on_one_node(notes: Simulated) -> None:
    """A checksum that does not match on one node ends the run before anything changes."""
    notes.bad_stage = "n3"
    assert "n3: sha256 is 1, expected 2" in refused(notes)


def test_a_gate_of_ones_own_that_cannot_be_read(notes: Simulated) -> None:
    """A gate in the inventory that does not parse is refused before anything begins."""
    assert "mine" in refused(notes, gates={"mine": {"that": "length(", "fail_msg": "x"}})


def test_a_window_that_is_no_time(notes: Simulated) -> None:
    """What cannot be read as a time is refused before anything is looked at."""
    assert "expected a time such as" in refused(notes, window_end="tonight")


def test_the_folder_of_another_run(notes: Simulated) -> None:
    """A record that is there already is never mistaken for that of this run."""
    assert "upgraded" == notes.upgrade("1.1.0")
    with pytest.raises(Exception, match="holds the record of another run"):
        notes.upgrade("1.2.0")
    assert dict.fromkeys(NAMES, "1.1.0") == notes.versions()


def test_a_plan_that_the_cluster_drifted_from(notes: Simulated) -> None:
    """What differs is named; a leader that moved is no drift."""
    assert "planned" == notes.upgrade("1.1.0", check=True)
    digest = approved(notes)
    notes.next_run()
    assert "gates: mine: was null" in refused(notes, plan=digest, gates={"mine": {"that": "`true`", "fail_msg": "never"}})
    notes.next_run()
    assert "what drifted is unknown" in refused(notes, plan="0123")
    notes.member("n2", role="follower")
    notes.member("n3", role="leader")
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0", plan=digest)


def test_a_component_that_there_is_not(notes: Simulated) -> None:
    """It is refused with those that there are; the name of the system itself is no component."""
    assert "has ink" in refused(notes, component="paper")
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0", component="notes")


def test_a_component_waits_for_the_end_of_anothers_upgrade(notes: Simulated) -> None:
    """One that failed in the middle is finished or taken back first, and the refusal has both commands."""
    record = {"run": "r0", "to": "1.1.0", "kind": "upgrade", "from": "1.0.0", "path": ["1.1.0"]}
    record |= {"steps": [{"step": "switch", "ok": True}], "outcome": "paused"}
    for name in NAMES:
        notes.member(name, ink="7.0")
        (notes.folder / name).mkdir()
        (notes.folder / name / "state.json").write_text(json.dumps({"fence": 1, "lease": None, "upgrade": record}))
    reason = refused(notes, component="ink", to="7.1")
    assert "has not ended" in reason
    assert "rollback.yml -e nodewise_cluster=notes" in reason


# --- the way through -------------------------------------------------------------------------------------------------


def test_a_step_that_observes_asks_its_gates(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader hands over, and two members lead when its module looks: the step fails there, and the leader is not restarted."""
    look = notes.look

    def two_leaders(node: str = "", *, changes: bool = False, **args: Any) -> None:
        if changes:
            args.pop("handover")
            notes.member("n1", role="leader")
        look(node, changes=changes, **args)

    monkeypatch.setattr(notes, "look", two_leaders)
    assert "paused" == notes.upgrade("1.1.0")
    assert str(notes.summary()["reason"]).startswith("n2: drain failed: one_leader: the members do not agree on one leader")
    assert not [r for r in notes.journal() if (r.get("step"), r.get("node")) == ("switch", "n2")]


def test_followers_first_and_the_leader_last(notes: Simulated) -> None:
    """The leader hands over to an upgraded member and goes last, and each restarts once."""
    assert "upgraded" == notes.upgrade("1.1.0")
    assert ["n1", "n3", "n2"] == [r["node"] for r in notes.journal() if r.get("step") == "switch" and r["phase"] == "begin"]
    assert ["batch 1 of 3", "batch 2 of 3", "batch 3 of 3"] == [r["text"].split(":")[0] for r in notes.journal() if "batch" in r]
    assert dict.fromkeys(NAMES, 1) == notes.starts()
    assert "leader" == notes.member("n1")["role"]


@pytest.mark.parametrize(("fresh", "due", "looks"), [(60.0, False, 0), (0.0, False, 3), (60.0, True, 3)])
def test_a_batch_looks_first_where_it_has_to(
    notes: Simulated, monkeypatch: pytest.MonkeyPatch, fresh: float, due: bool, looks: int
) -> None:
    """The last look is good for the next batch while it is fresh; where the lease is to be renewed, that is done before."""
    monkeypatch.setattr("nodewise.upgrade.lease.due", lambda own, _seconds: due and own["granted"])
    notes.fresh = fresh
    with (
        mock.patch.object(notes, "look_and_resolve", wraps=notes.look_and_resolve) as looked,
        mock.patch.object(notes, "execute", wraps=notes.execute) as executed,
    ):
        assert "upgraded" == notes.upgrade("1.1.0")
    renewed = [call for call in executed.call_args_list if call.kwargs["module_args"].get("state") == "kept"]
    assert (looks, due * looks * len(NAMES)) == (looked.call_count, len(renewed))


def test_check_mode_ends_with_the_plan(notes: Simulated) -> None:
    """The plan is kept, and nothing is changed."""
    assert "planned" == notes.upgrade("1.1.0", check=True)
    assert approved(notes)
    assert NOBODY == notes.starts()


def test_a_second_run_changes_nothing(notes: Simulated) -> None:
    """With nothing to do the outcome is `unchanged` and no process restarts."""
    for name in NAMES:
        notes.member(name, version="1.1.0")
    assert "unchanged" == notes.upgrade("1.1.0")
    assert NOBODY == notes.starts()


def test_a_run_resumes_where_the_last_one_ended(notes: Simulated) -> None:
    """A member that runs the target already is not touched again."""
    notes.member("n1", version="1.1.0")
    assert "upgraded" == notes.upgrade("1.1.0")
    assert {"n1": 0, "n2": 1, "n3": 1} == notes.starts()


def test_a_member_left_in_the_middle_of_its_batch_is_finished(notes: Simulated) -> None:
    """Although it runs the target already; the others are not touched again."""
    assert "upgraded" == notes.upgrade("1.1.0")
    notes.member("n3", unfinished=True)
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0")
    assert {"n1": 1, "n2": 1, "n3": 2} == notes.starts()


def test_two_hops_in_one_run(notes: Simulated) -> None:
    """A target two minors away is reached in two rolls, each finished before the next."""
    assert "upgraded" == notes.upgrade("1.2.0")
    assert dict.fromkeys(NAMES, "1.2.0") == notes.versions()
    assert dict.fromkeys(NAMES, 2) == notes.starts()
    finalized = [r["seq"] for r in notes.journal() if r.get("step") == "finalize" and r["phase"] == "end" and r["ok"]]
    hops = [r["seq"] for r in notes.journal() if "hop" in r]
    assert 2 == len(finalized) == len(hops)
    assert hops[0] < finalized[0] < hops[1] < finalized[1]


def test_the_next_hop_is_not_begun_where_one_could_not_be_finished(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is paused on the first hop's version, and nobody is told of a second hop."""

    def failing(part: dict[str, Any]) -> None:
        """The gates of the end do not hold."""
        notes.once("hop", index=part["hop"], state="finalizing")
        notes.once("step", name="finalize", state="failed", why="no_errors: n2 reports one")

    monkeypatch.setattr(notes, "finalize", failing)
    assert "paused" == notes.upgrade("1.2.0")
    assert "finalize_failed" == notes.summary()["reason_code"]
    assert dict.fromkeys(NAMES, "1.1.0") == notes.versions()
    assert 1 == len([r for r in notes.journal() if "hop" in r])


def test_groups_roll_side_by_side(notes: Simulated) -> None:
    """Two independent groups: a canary alone, then one of each at a time, and the leaders last."""
    others = ("m1", "m2", "m3")
    for name in others:
        role = "leader" if name == "m1" else "follower"
        notes.member(name, version="1.0.0", role=role, data="other", serving=True, starts=0, started_at="1")
    hosts = {
        **{name: {"nodewise_quorum_group": "a"} for name in NAMES},
        **{name: {"nodewise_quorum_group": "b"} for name in others},
    }
    notes.inventory(notes=hosts)
    assert "upgraded" == notes.upgrade("1.1.0")
    assert [["m2"], ["m3", "n1"], ["m1", "n3"], ["n2"]] == [r["nodes"] for r in notes.journal() if "batch" in r]
    assert [1] * 6 == [notes.member(name)["starts"] for name in (*NAMES, *others)]


def test_a_component_is_upgraded_and_taken_back_on_its_own(notes: Simulated) -> None:
    """Its versions are those that are planned, judged and remembered; the system itself is not touched."""
    for name in NAMES:
        notes.member(name, ink="7.0")
    assert "upgraded" == notes.upgrade("1.1.0")
    notes.next_run()
    assert "upgraded" == notes.upgrade("7.1", component="ink")
    assert ("ink", "7.0", "7.1") == tuple(notes.summary()[key] for key in ("component", "from", "to"))
    assert ["7.1"] * 3 == [notes.member(name)["ink"] for name in NAMES]
    notes.next_run()
    assert "rolled_back" == notes.rollback(component="ink")
    assert ["7.0"] * 3 == [notes.member(name)["ink"] for name in NAMES]
    assert dict.fromkeys(NAMES, "1.1.0") == notes.versions()
    assert dict.fromkeys(NAMES, 1) == notes.starts()


# --- what an operator may do next ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "given", "offered"),
    [
        ({"breaks_on": ["1.1.0"]}, {}, ["when that is fixed"]),
        ({"breaks_on": ["1.1.0", "1.0.0"]}, {}, ["to go on when that is fixed"]),
        ({"alarms_on": {"1.1.0": "NOSPACE"}, "breaks_on": ["1.1.0"]}, {}, ["to go on when that is fixed"]),
        ({"forgets_on": "1.1.0"}, {}, ["to go on when that is fixed"]),
        ({}, {"approve": ""}, ["to go past it", "to go back"]),
        ({}, {"window_end": "passed"}, ["to go on", "to go back"]),
    ],
    ids=["first node", "either way", "alarm", "data", "approval", "window"],
)
def test_what_is_offered_works(
    notes: Simulated, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], given: dict[str, Any], offered: list[str]
) -> None:
    """Each command that may come next is one that would not be refused now; one that would be is not offered, or says when."""
    notes.member("n1", **fields)
    if given.pop("window_end", ""):
        late = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        given["window_end"] = late
        notes.meanwhile = lambda _step: monkeypatch.setattr(batch, "datetime", Later)
    assert notes.upgrade("1.1.0", **given) in ("rolled_back", "paused")
    lines, approve = following(notes.summary()), notes.summary()["plan"]
    assert offered == [line.partition(":")[0] for line in lines]
    monkeypatch.setattr(batch, "datetime", datetime)
    for when in offered:
        if "when" not in when:
            notes.next_run()
            back = when == "to go back"
            ended = notes.rollback(check=True) if back else notes.upgrade("1.1.0", check=True, approve=approve)
            assert "planned" == ended, notes.summary()["reason"]


class Later(datetime):
    """A clock that is two hours ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        """Two hours later than it is."""
        return datetime.now(tz) + timedelta(hours=2)


# --- approvals and windows -------------------------------------------------------------------------------------------


def test_nobody_approved(notes: Simulated) -> None:
    """The run pauses before the last member, with both ways open and named; the way back works."""
    assert "paused" == notes.upgrade("1.1.0", approve="")
    assert "approval_needed" == notes.summary()["reason_code"]
    on, back = following(notes.summary())
    assert f"-e nodewise_to=1.1.0 -e nodewise_approve={notes.summary()['plan']}" in on
    assert back == "to go back: ansible-playbook playbooks/rollback.yml -e nodewise_cluster=notes"
    assert {"n1": "1.1.0", "n2": "1.0.0", "n3": "1.1.0"} == notes.versions()
    notes.next_run()
    assert "rolled_back" == notes.rollback()
    assert dict.fromkeys(NAMES, "1.0.0") == notes.versions()
    assert {"n1": 2, "n2": 0, "n3": 2} == notes.starts()


@pytest.mark.parametrize(("answer", "outcome"), [(True, "upgraded"), (False, "paused")])
def test_an_operator_is_asked(notes: Simulated, answer: bool, outcome: str) -> None:
    """Only a yes goes past the point of no return."""
    notes.answer = answer
    assert outcome == notes.upgrade("1.1.0", approve="")


def test_the_wrong_plan_was_approved(notes: Simulated) -> None:
    """An approval is of one plan: another hash is refused before anything begins; the plan's own one goes on with the run."""
    assert "what drifted is unknown" in refused(notes, approve="0123")
    notes.next_run()
    assert "paused" == notes.upgrade("1.1.0", approve="")
    digest = approved(notes)
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0", approve=digest)
    assert dict.fromkeys(NAMES, 1) == notes.starts()
    notes.next_run()
    assert "unchanged" == notes.upgrade("1.1.0", approve=digest)


def test_the_change_window_closes(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """No node is begun after it, and the same command goes on tomorrow."""
    closes = datetime.now(UTC) + timedelta(hours=1)

    class Later(datetime):
        """A clock that is past the window's end."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:  # noqa: ARG003  as the built-in one is called
            return closes + timedelta(hours=1)

    def wait(step: str) -> None:
        if step == "switch":
            monkeypatch.setattr("ansible_collections.nodewise.cluster.plugins.action.batch.datetime", Later)

    notes.meanwhile = wait
    assert "paused" == notes.upgrade("1.1.0", window_end=closes.isoformat())
    assert "window_closed" == notes.summary()["reason_code"]
    assert "the change window closed at" in notes.summary()["reason"]
    assert {"n1": 1, "n2": 0, "n3": 0} == notes.starts()
    monkeypatch.undo()
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0")


def test_the_change_window_is_not_open_yet(notes: Simulated) -> None:
    """Before it the run pauses with nothing begun, and offers only to go on; its plan may be looked at."""
    opens = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert "paused" == notes.upgrade("1.1.0", window_start=opens)
    assert "window_closed" == notes.summary()["reason_code"]
    assert "the change window opens at" in notes.summary()["reason"]
    assert ["to go on"] == [line.partition(":")[0] for line in following(notes.summary())]
    assert NOBODY == notes.starts()
    notes.next_run()
    assert "planned" == notes.upgrade("1.1.0", check=True, window_start=opens)


def test_a_window_that_is_too_short(notes: Simulated) -> None:
    """An upgrade that took longer than the window is open is refused, unless that is waived; without earlier runs nobody knows."""
    soon, later, last = ((datetime.now(UTC) + timedelta(minutes=minutes)).isoformat() for minutes in (5, 10, 600))
    assert "planned" == notes.upgrade("1.1.0", check=True, window_end=soon)
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0")
    stretch(notes.run_dir / "journal.jsonl", 3600)
    notes.next_run()
    assert "the change window is open for " in refused(notes, "1.2.0", window_end=soon)
    assert '{"window_closed": "REASON"}' in notes.summary()["reason"]
    notes.next_run()
    assert "planned" == notes.upgrade("1.2.0", check=True, window_end=soon, waive={"window_closed": "it may go on tomorrow"})
    notes.next_run()
    assert "the change window is open for 300 s" in refused(notes, "1.2.0", check=True, window_start=soon, window_end=later)
    notes.next_run()
    assert "planned" == notes.upgrade("1.2.0", check=True, window_start=soon, window_end=last)


def stretch(journal: Path, seconds: float) -> None:
    """Have a run taken so long."""
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    began, ended = records[0]["t"], records[-1]["t"]
    late = [{**one, "t": began + int((one["t"] - began) / (ended - began) * seconds * 1e9)} for one in records]
    journal.write_text("".join(json.dumps(one) + "\n" for one in late))


@pytest.mark.parametrize(("given", "failed"), [({"approve": ""}, False), ({"window_start": "later"}, False), ({}, True)])
def test_a_pause_that_need_not_fail_the_job(notes: Simulated, given: dict[str, Any], failed: bool) -> None:
    """Waiting for an approval or for the window is no failure where that was said; being paused for anything else is one."""
    notes.pause_is_ok = True
    if not given:
        notes.member("n1", breaks_on=["1.1.0", "1.0.0"])
    given = {
        name: (datetime.now(UTC) + timedelta(hours=1)).isoformat() if said == "later" else said for name, said in given.items()
    }
    assert "paused" == notes.upgrade("1.1.0", **given)
    assert failed == notes.told["failed"]
    notes.pause_is_ok = False
    notes.next_run()
    notes.upgrade("1.1.0", **given)
    assert notes.told["failed"]


def test_any_plan_may_not_be_approved(notes: Simulated) -> None:
    """Where an approval has to be of one plan, `any` is refused; the hash goes through."""
    assert "nodewise_allow_any is false" in refused(notes, allow_any=False)
    notes.next_run()
    assert "planned" == notes.upgrade("1.1.0", check=True, approve="", allow_any=False)
    digest = approved(notes)
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0", approve=digest, allow_any=False)


def test_another_user_approves(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it takes two, whoever began cannot go past the point of no return; the nodes remember who that was."""
    assert "expected 1 or 2" in refused(notes, approvers=3)
    notes.next_run()
    assert "planned" == notes.upgrade("1.1.0", check=True)
    digest = approved(notes)
    for _each in range(2):
        notes.next_run()
        assert "paused" == notes.upgrade("1.1.0", approve=digest, approvers=2)
        assert "approval_needed" == notes.summary()["reason_code"]
        assert "began this upgrade: another user has to run it with the approval" in notes.summary()["reason"]
    assert 2 == sum(notes.starts().values())
    monkeypatch.setattr("nodewise.upgrade.lease.who", lambda: "another@host")
    notes.next_run()
    assert "upgraded" == notes.upgrade("1.1.0", approve=digest, approvers=2)


def test_who_began_is_unknown(notes: Simulated) -> None:
    """A record of an older version does not say who began: unknown is nobody else."""
    assert "paused" == notes.upgrade("1.1.0", approve="")
    for file in notes.folder.glob("n*/state.json"):
        state = json.loads(file.read_text())
        del state["upgrade"]["by"]
        file.write_text(json.dumps(state))
    notes.next_run()
    assert "paused" == notes.upgrade("1.1.0", approvers=2)
    assert "who began this upgrade is unknown" in notes.summary()["reason"]


def test_the_change_is_recorded(notes: Simulated) -> None:
    """The ticket is in run.json, in the summary and in the last lines."""
    notes.upgrade("1.1.0", change="CHG-1234")
    assert "CHG-1234" == notes.summary()["change"] == json.loads((notes.run_dir / "run.json").read_text())["change"]
    assert "change    CHG-1234" in ending(notes.summary(), notes.run_dir)


# --- nodes that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n1", "n3"])
def test_a_node_that_fails_its_gates_is_put_back(notes: Simulated, name: str) -> None:
    """The current node goes back to its old version; later members are never touched."""
    notes.member(name, breaks_on=["1.1.0"])
    assert "rolled_back" == notes.upgrade("1.1.0")
    assert name in notes.summary()["reason"]
    assert "1.0.0" == notes.member(name)["version"]
    assert notes.member(name)["serving"]
    assert 0 == notes.member("n2")["starts"]
    assert notes.summary()["gates"]["failed"] > 0


def test_what_does_not_come_back_either_way(notes: Simulated) -> None:
    """A node that fails on the new version and on the old one is named as such; nobody else is touched."""
    notes.member("n1", breaks_on=["1.1.0", "1.0.0"])
    assert "paused" == notes.upgrade("1.1.0")
    assert "could not be put back on 1.0.0" in notes.summary()["reason"]
    assert notes.starts()["n2"] == notes.starts()["n3"] == 0


def test_what_an_undo_does_not_heal(notes: Simulated) -> None:
    """The node runs its old version and serves, but what its new version raised stays: that is no rollback."""
    notes.member("n1", breaks_on=["1.1.0"], alarms_on={"1.1.0": "NOSPACE"})
    assert "paused" == notes.upgrade("1.1.0")
    reason = str(notes.summary()["reason"])
    assert (
        'It runs 1.0.0 again, but not all is as it was: no_alarms: alarms are raised, or could not be read; found ["NOSPACE n1"]'
        in reason
    )
    assert {"n1": 2, "n2": 0, "n3": 0} == notes.starts()


FOREIGN = {"cluster": "c2", "members": 1, "others": "c1", "acts_as": "1.0.0"}


def test_a_canary_that_became_a_cluster_of_its_own(notes: Simulated) -> None:
    """It is stopped and put back, though its data differs; the end says how far it came, and where that is kept."""
    notes.member("n1", apart_on={"1.1.0": FOREIGN}, forgets_on="1.1.0")
    notes.meanwhile = lambda _step: None
    put, data = notes.put, notes.member("n2")["data"]

    def put_back(node: str, what: str = "version") -> None:
        put(node, what)
        if notes.member(node)["version"] == "1.0.0":
            notes.member(node, data=data)  # its own data, which the old version finds where it was

    notes.put = put_back  # type: ignore[method-assign]
    assert "rolled_back" == notes.upgrade("1.1.0")
    lines = str(notes.summary()["reason"]).splitlines()
    assert (
        "n1 had become a cluster of its own (c2; the others are c1), and was stopped. What it took, up to revision 115, "
        "is in no other member; it is kept on n1 in /data/n1.apart" == lines[1]
    )
    assert lines[2].startswith("It is back on 1.0.0, 8 gates hold as before")


def test_a_cluster_of_its_own_past_the_point_of_no_return(notes: Simulated) -> None:
    """What cannot be put back is stopped all the same, and an operator is called for."""
    notes.member("n1", apart_on={"1.1.0": {**FOREIGN, "acts_as": "1.1"}})
    assert "paused" == notes.upgrade("1.1.0")
    assert not notes.member("n1")["serving"]
    assert "It could not be put back on 1.0.0: the cluster has moved from" in notes.summary()["reason"]


def test_what_is_said_of_a_node_that_is_back(notes: Simulated) -> None:
    """The gates that hold are named, so are writes that nobody tried, and what clients do meanwhile is no failure of the undo."""
    notes.member("n1", breaks_on=["1.1.0"])
    notes.meanwhile = lambda _step: notes.member("n3", clients=12)
    assert "rolled_back" == notes.upgrade("1.1.0")
    _failure, back, also = str(notes.summary()["reason"]).splitlines()
    assert "It is back on 1.0.0, 8 gates hold as before, and writes were not tried" == back
    assert also.startswith("Noticed, which no undo changes: few_clients: clients are too many")


def test_a_step_that_observes_fails_with_the_words_of_its_module(notes: Simulated) -> None:
    """What changes and looks in one task is a change: that it failed is no observation that went wrong."""
    notes.member("n2", stubborn=True)
    notes.upgrade("1.1.0")
    assert "n2: drain failed: n2 does not let go" in notes.summary()["reason"]
    assert {"n1": "1.1.0", "n2": "1.0.0", "n3": "1.1.0"} == notes.versions()
    drains = [r for r in notes.journal() if r["kind"] == "step" and r["step"] == "drain"]
    assert [("begin", None), ("end", False)] == [(r["phase"], r.get("ok")) for r in drains]


@pytest.mark.parametrize(
    ("fields", "outcome"), [({}, "upgraded"), ({"started_at": "later"}, "rolled_back"), ({"serving": False}, "rolled_back")]
)
def test_the_canary_is_watched(notes: Simulated, fields: dict[str, Any], outcome: str) -> None:
    """What restarts or stops serving while the first node is watched takes that node back."""
    notes.meanwhile = lambda step: notes.member("n1", **fields) if step == "soak" else None
    assert outcome == notes.upgrade("1.1.0", soak=1)
    assert notes.starts() == (dict.fromkeys(NAMES, 1) if outcome == "upgraded" else {"n1": 2, "n2": 0, "n3": 0})


def test_a_regression_of_the_canary(notes: Simulated) -> None:
    """A canary that serves and passes all gates, but does worse than its baseline, goes back."""
    notes.soaked = {"probe": {"count": 20, "failed": 0, "p50_ms": 500.0, "p99_ms": 900.0, "max_ms": 999.0}}
    assert "rolled_back" == notes.upgrade("1.1.0", soak=1)
    assert "no_regression" in notes.summary()["reason"]
    assert {"n1": 2, "n2": 0, "n3": 0} == notes.starts()


def test_a_gate_of_ones_own_takes_part(notes: Simulated) -> None:
    """A gate of the inventory that says no takes the node back, as a built-in one does."""
    assert "rolled_back" == notes.upgrade("1.1.0", gates={"never": {"that": "`false`", "fail_msg": "never today"}})
    assert "never today" in notes.summary()["reason"]
    assert {"n1": 2, "n2": 0, "n3": 0} == notes.starts()


def test_data_that_differs_during_the_roll(notes: Simulated) -> None:
    """Divergence pauses the run and is not taken back: no old version fixes it."""
    notes.member("n1", forgets_on="1.1.0")
    assert "paused" == notes.upgrade("1.1.0")
    assert "the members' data differs at 1: n1 gone, n2 same, n3 same" in notes.summary()["reason"]
    assert {"n1": 1, "n2": 0, "n3": 0} == notes.starts()


def test_a_member_is_recovered_first(notes: Simulated) -> None:
    """A member that is down is brought back on the old version, behind gates, and then upgraded as the others."""
    notes.member("n3", serving=False)
    assert "upgraded" == notes.upgrade("1.1.0", recover=["n3"])
    assert {"n1": 1, "n2": 1, "n3": 2} == notes.starts()
    records = notes.journal()
    assert next(r["seq"] for r in records if r.get("step") == "recover") < next(r["seq"] for r in records if "batch" in r)


def test_a_member_that_cannot_be_recovered(notes: Simulated) -> None:
    """What does not come back holds the run, and nobody else is touched."""
    notes.member("n3", serving=False, breaks_on=["1.0.0"])
    assert "paused" == notes.upgrade("1.1.0", recover=["n3"])
    assert "n3 did not come back" in notes.summary()["reason"]
    assert {"n1": 0, "n2": 0, "n3": 1} == notes.starts()


# --- changes that are no upgrade -------------------------------------------------------------------------------------

CHANGING = ("provision", "restore", "wipe")


def held(notes: Simulated, kind: str, busy: str = "") -> str:
    """Hold the cluster as the playbook of a kind does, and give it back; why not, where it is not granted. `busy`: a run's host."""
    notes.vars, notes.check, notes.warned = HostVars(notes.folder / "hosts.yml"), False, []
    notes.once("begin", kind=kind)
    for host in notes.members():
        node = notes.module(f"{OURS}.modules.node_info", root=str(notes.folder / host))
        notes.vars[host]["nodewise_node"] = {**node, "ahead_s": 0.0}
    if busy:
        given = {"run": "theirs", "who": "ann@desk", "controller": {}, "fence": 9, "ttl": 60.0}
        notes.module(f"{OURS}.modules.lease", root=str(notes.folder / busy), state="taken", **given)
    for host in notes.members():
        notes.act("lease", host, state="taken")
    notes.once("lease", state="judged")
    if notes.vars[notes.first()]["nodewise_lease_again"]:
        notes.once("lease", state="judged")
    why = ""
    if notes.vars[notes.first()]["nodewise_halted"]:
        for host in notes.members():
            notes.act("lease", host, state="withdrawn")
        with pytest.raises(NodewiseError) as refused:
            notes.once("lease", state="refused")
        why = str(refused.value)
    else:
        assert 1 == len(leases(notes))
        assert next(iter(leases(notes))).endswith(f"-{kind}-notes-{notes.vars['n1']['nodewise_run']['id'][-4:]}")
        assert {} == notes.once("lease", state="refused")
    assert not any(notes.act("lease", host, state="released").get("changed") for host in notes.members())
    return why


def leases(notes: Simulated) -> set[str]:
    """Which runs hold nodes."""
    states = [notes.folder / host / "state.json" for host in NAMES]
    found = [json.loads(path.read_text())["lease"] for path in states if path.exists()]
    return {lease["run"] for lease in found if lease}


@pytest.mark.parametrize("kind", CHANGING)
def test_whoever_changes_a_cluster_holds_it(notes: Simulated, kind: str) -> None:
    """A play without a record takes every node under a name of its own, and gives it back."""
    assert "" == held(notes, kind)
    assert set() == leases(notes)


@pytest.mark.parametrize("kind", CHANGING)
def test_a_cluster_that_another_holds_is_not_changed(notes: Simulated, kind: str) -> None:
    """The play fails with who holds the cluster and what to do, and what was granted is given back."""
    why = held(notes, kind, busy="n2")
    assert why.startswith("run theirs of ann@desk holds the cluster until ")
    assert why.endswith("playbooks/unlock.yml -e nodewise_confirm=theirs. Nothing was changed")
    assert {"theirs"} == leases(notes)


def test_every_playbook_that_changes_a_cluster_takes_it() -> None:
    """Between its lock and its unlock a playbook may change nodes; before, it only looks. Those that look alone take nothing."""
    looking = {"preflight", "observe", "begin", "probe", "plan", "run", "lock"}
    looking |= {"ask_backfill"}  # of one that an upgrade waits for, which holds the cluster meanwhile
    found = {}
    for path in sorted((Path(__file__).parents[2] / "playbooks").glob("*.yml")):
        verbs = re.findall(r"tasks_from: (\w+)", path.read_text())
        before = verbs[: verbs.index("lock")] if "lock" in verbs else verbs
        assert set(before) <= looking, path.name
        found[path.stem] = "lock" in verbs and verbs[-1] in ("unlock", "summary")  # the summary unlocks
    assert {"provision", "restore", "wipe", "upgrade", "rollback", "restart", "configure", "reboot"} == {
        name for name, takes in found.items() if takes
    }
