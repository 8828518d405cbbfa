"""Restarts, changed settings and reboots, decided on simulated clusters: who waits, who was reached, and how it ends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.action import batch
from nodewise.errors import Paused, Refused
from nodewise.model import Declaration, Settings, Step, Subject
from nodewise.record.commands import following
from nodewise.record.run import Run
from nodewise.upgrade import change, plan, roll
from tests.notes import NAMES
from tests.unit.observed import observation
from tests.unit.simulated import Simulated
from tests.unit.test_plan import DECLARED

NOBODY = dict.fromkeys(NAMES, 0)
ONCE = dict.fromkeys(NAMES, 1)
STARTED = {"n1": "1", "n2": "2", "n3": "3"}


@pytest.fixture
def notes(tmp_path: Path) -> Simulated:
    """A healthy cluster."""
    return Simulated(tmp_path)


def order(notes: Simulated) -> list[str]:
    """The members in the order in which they were restarted."""
    return [r["node"] for r in notes.journal() if r.get("step") == "switch" and r["phase"] == "begin"]


def paused_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Have the change window close after some batches."""
    begun: list[str] = []

    def late(_end: str, seen: str) -> None:
        begun.append(seen)
        if len(begun) > batches:
            raise Paused("window_closed", "the change window closed")

    monkeypatch.setattr(batch, "refuse_late", late)


# --- restart ---------------------------------------------------------------------------------------------------------


def test_a_restart_takes_every_member_once_and_the_leader_last(notes: Simulated) -> None:
    """The version stays, nobody is asked for a release, and the leader hands over before its turn."""
    assert "changed" == notes.upgrade(kind="restart")
    assert ONCE == notes.starts()
    assert dict.fromkeys(NAMES, "1.0.0") == notes.versions()
    assert ["n1", "n3", "n2"] == order(notes)
    assert "leader" == notes.member("n1")["role"]
    assert not {"secure", "stage"} & {r.get("step") for r in notes.journal()}
    assert "every member of notes was restarted" == notes.summary()["reason"]


def test_a_second_restart_is_another_one(notes: Simulated) -> None:
    """What the nodes remember of one that has ended keeps nobody from being restarted again."""
    assert "changed" == notes.upgrade(kind="restart")
    notes.next_run()
    assert "changed" == notes.upgrade(kind="restart")
    assert dict.fromkeys(NAMES, 2) == notes.starts()


def test_check_mode_shows_the_restart_and_makes_none(notes: Simulated) -> None:
    """The plan is kept with its hash; nobody is restarted."""
    assert "planned" == notes.upgrade(kind="restart", check=True)
    assert NOBODY == notes.starts()
    assert "restart of notes" in next(r["text"] for r in notes.journal() if "plan" in r)


def test_a_restart_is_gone_on_with_by_what_is_observed(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever restarted since it began, by the run or by hand, is not restarted again, and the plan keeps its hash."""
    with monkeypatch.context() as closing:
        paused_after(closing, 1)
        assert "paused" == notes.upgrade(kind="restart")
    first = notes.summary()["plan"]
    assert {"n1": 1, "n2": 0, "n3": 0} == notes.starts()
    notes.member("n3", started_at="by hand")
    notes.next_run()
    assert "changed" == notes.upgrade(kind="restart", approve=first)
    assert {"n1": 1, "n2": 1, "n3": 0} == notes.starts()
    assert "reached already: n1, n3" in notes.journal_plan()


def test_a_restart_whose_last_member_was_reached_is_ended(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run restarts nobody, tells the nodes that it has ended, and the one after that is a new one."""
    with monkeypatch.context() as closing:
        paused_after(closing, 2)
        assert "paused" == notes.upgrade(kind="restart")
    notes.member("n2", started_at="by hand")
    for count in (0, 1):
        notes.next_run()
        assert "changed" == notes.upgrade(kind="restart")
        assert {"n1": 1 + count, "n2": count, "n3": 1 + count} == notes.starts()


def test_a_restart_keeps_the_way_back_of_the_upgrade_before_it(notes: Simulated) -> None:
    """The nodes remember both: a rollback after a restart goes where it would have gone without one."""
    assert "upgraded" == notes.upgrade("1.1.0")
    notes.next_run()
    assert "changed" == notes.upgrade(kind="restart")
    notes.next_run()
    assert "refused" == notes.upgrade(kind="rollback", check=True)
    assert "1.1.0 cannot be taken back to 1.0.0" in notes.summary()["reason"], "the toy system cannot, but knows to where"


def test_members_of_several_versions_are_not_restarted(notes: Simulated) -> None:
    """An upgrade that is under way is ended first, and the reason says by which command."""
    notes.member("n1", version="1.1.0")
    assert "refused" == notes.upgrade(kind="restart")
    assert "n1 1.1.0, n2 1.0.0, n3 1.0.0" in notes.summary()["reason"]
    assert "upgrade.yml -e nodewise_cluster=notes" in notes.summary()["reason"]
    assert NOBODY == notes.starts()


def test_a_member_that_does_not_come_back_pauses_the_restart(notes: Simulated) -> None:
    """Nothing can be taken back: no other member is touched, the reason says so, and the same command is offered."""
    notes.member("n1", breaks_on=["1.0.0"])
    assert "paused" == notes.upgrade(kind="restart")
    assert "undo_failed" == notes.summary()["reason_code"]
    assert {"n2": 0, "n3": 0} == {name: notes.starts()[name] for name in ("n2", "n3")}
    (line,) = [line for line in following(notes.summary()) if line.startswith("to go on")]
    assert "playbooks/restart.yml -e nodewise_cluster=notes" in line


def test_members_for_whom_no_batch_was_left(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others took the batches that were foreseen nobody says that every member was reached; the same command goes on."""
    parts = roll.parts

    def one_batch(*given: Any, **more: Any) -> list[dict[str, Any]]:
        """The parts without all batches but the first."""
        found = parts(*given, **more)
        first = [one["file"] for one in found].index("batch")
        return [one for at, one in enumerate(found) if at == first or one["file"] != "batch"]

    with monkeypatch.context() as fewer:
        fewer.setattr(roll, "parts", one_batch)
        assert "paused" == notes.upgrade(kind="restart")
    assert "n2, n3: not reached, as others took more batches than were foreseen" in notes.summary()["reason"]
    assert {"n1": 1, "n2": 0, "n3": 0} == notes.starts()
    notes.next_run()
    assert "changed" == notes.upgrade(kind="restart")
    assert ONCE == notes.starts()


def test_a_look_from_before_a_step_is_not_good_for_the_next_batch(notes: Simulated) -> None:
    """A member that is put back into service after it was observed would be taken for one that is out of it."""
    assert "changed" == notes.upgrade(kind="restart")
    run = Run(notes.run_dir)
    run.observed(observation(), [], node=None, group="notes")
    assert run.fresh("notes", 60)
    assert not run.fresh("notes", 0)
    assert not run.fresh("others", 60)
    run.begin("suites", node="n1")
    assert run.fresh("notes", 60)
    run.begin("switch", node="n1")
    assert not run.fresh("notes", 60)


def test_a_restart_whose_gate_fails_takes_nothing_back(notes: Simulated) -> None:
    """Where all is well again after it, the run is paused and not called rolled back: the restart has happened."""
    notes.meanwhile = lambda step: notes.cluster(alarm="") if step else None
    gates = {"quiet": {"that": "length(now.members[?name == 'n1' && started_at != '1']) == `0`", "fail_msg": "n1 is another one"}}
    assert "paused" == notes.upgrade(kind="restart", gates=gates)
    assert "step_failed" == notes.summary()["reason_code"]
    assert "It runs, " in notes.summary()["reason"]


def test_what_a_restart_brings_up_is_shown_and_not_refused() -> None:
    """Settings that a process does not have yet are what it is restarted for."""
    different = {"what": "x.yml changed", "runs": "as before", "restart": "as of now", "do": "", "hash": "aa"}
    made = change_of("restart", n1={"restart": {"differences": [different]}})
    assert {"n1": ["x.yml changed: now as before, after a restart as of now"]} == made.shows


# --- configure -------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(notes: Simulated) -> Simulated:
    """A cluster with settings, which are as the inventory says."""
    for name in NAMES:
        (notes.folder / f"{name}.conf").write_text("plain")
        notes.member(name, setting="plain")
    return notes


def settings(notes: Simulated) -> dict[str, tuple[str, str]]:
    """What each member's file says, and what the member began with."""
    return {name: ((notes.folder / f"{name}.conf").read_text(), notes.member(name)["setting"]) for name in NAMES}


def test_settings_reach_every_member_that_differs(plain: Simulated) -> None:
    """Who has them already is not touched; the plan showed what becomes different on each."""
    (plain.folder / "n3.conf").write_text("bold")
    plain.member("n3", setting="bold")
    plain.setting = "bold"
    assert "changed" == plain.upgrade(kind="configure")
    assert dict.fromkeys(NAMES, ("bold", "bold")) == settings(plain)
    assert {"n1": 1, "n2": 1, "n3": 0} == plain.starts()
    shown = [line.split("differs")[1].split() for line in plain.journal_plan().splitlines() if "differs" in line]
    conf = [plain.folder / f"{name}.conf" for name in ("n1", "n2")]
    assert [f"n1: {conf[0]}: -plain", f"n1: {conf[0]}: +bold", f"n2: {conf[1]}: -plain", f"n2: {conf[1]}: +bold"] == [
        " ".join(words) for words in shown
    ]


def test_settings_that_nobody_lacks(plain: Simulated) -> None:
    """Nothing is written, nobody is restarted."""
    assert "unchanged" == plain.upgrade(kind="configure")
    assert NOBODY == plain.starts()


def test_check_mode_writes_no_settings(plain: Simulated) -> None:
    """Nor does a plan that was not approved."""
    plain.setting = "bold"
    assert "planned" == plain.upgrade(kind="configure", check=True)
    plain.next_run()
    assert "refused" == plain.upgrade(kind="configure", approve="000000000000")
    assert dict.fromkeys(NAMES, ("plain", "plain")) == settings(plain)


def test_a_setting_that_keeps_a_member_from_serving_is_put_back(plain: Simulated) -> None:
    """On the first member; the others never had it, and what is said is what is so."""
    plain.setting = "broken"
    plain.member("n1", breaks_on=["broken"])
    assert "rolled_back" == plain.upgrade(kind="configure")
    assert dict.fromkeys(NAMES, ("plain", "plain")) == settings(plain)
    assert {"n2": 0, "n3": 0} == {name: plain.starts()[name] for name in ("n2", "n3")}
    assert "It has its former files and runs with them" in plain.summary()["reason"]


def test_a_process_that_systemd_began_meanwhile_is_begun_anew(plain: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends is begun again and again: while the files are put back it may read either."""
    plain.setting = "broken"
    plain.member("n1", breaks_on=["broken"])
    put, since = plain.put, list[float]()

    def noting(node: str, what: str = "version") -> None:
        since.append(plain.vars[node]["nodewise_step"]["since"])
        put(node, what)

    monkeypatch.setattr(plain, "put", noting)
    assert "rolled_back" == plain.upgrade(kind="configure")
    there, back = since
    assert there < time.time() < time.time() + 60 < back


def test_changed_settings_are_gone_on_with(plain: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the files are: who has them is not touched again, and the plan keeps its hash."""
    plain.setting = "bold"
    with monkeypatch.context() as closing:
        paused_after(closing, 1)
        assert "paused" == plain.upgrade(kind="configure")
    first = plain.summary()["plan"]
    plain.next_run()
    assert "changed" == plain.upgrade(kind="configure", approve=first)
    assert dict.fromkeys(NAMES, ("bold", "bold")) == settings(plain)
    assert ONCE == plain.starts()


def test_a_member_that_settings_left_down_has_its_former_ones_first(plain: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that died before it could put them back: the next one does, before it goes on with better ones."""
    plain.setting = "broken"
    plain.member("n1", breaks_on=["broken"])
    with monkeypatch.context() as dying:
        dying.setattr(plain, "undo", lambda _node: None)
        plain.upgrade(kind="configure")
    assert not plain.member("n1")["serving"]
    plain.next_run()
    assert "rolled_back" == plain.upgrade(kind="configure", recover=["n1"])
    assert dict.fromkeys(NAMES, ("plain", "plain")) == settings(plain)


# --- reboot ----------------------------------------------------------------------------------------------------------


def test_every_node_is_rebooted_the_leader_last(notes: Simulated) -> None:
    """The plan names the command before it; who was rebooted in a run that did not end is not rebooted again."""
    assert "changed" == notes.upgrade(kind="reboot", patch="apt-get -y upgrade")
    assert dict.fromkeys(NAMES, "second") == notes.boots
    assert ["n1", "n3", "n2"] == [r["node"] for r in notes.journal() if r.get("step") == "reboot" and r["phase"] == "begin"]
    assert "apt-get -y upgrade" in notes.journal_plan()


def test_reboots_are_gone_on_with(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """By which start of itself a node is."""
    with monkeypatch.context() as closing:
        paused_after(closing, 1)
        assert "paused" == notes.upgrade(kind="reboot")
    assert {"n1": "second"} == notes.boots
    notes.boots = {**notes.boots, "n3": "by hand"}
    notes.next_run()
    assert "changed" == notes.upgrade(kind="reboot")
    assert {"n1": "second", "n2": "second", "n3": "by hand"} == notes.boots


def test_a_patch_that_fails_reboots_nobody(notes: Simulated) -> None:
    """The run is paused: what the command did is not taken back, the member serves, no other node is touched."""
    notes.bad_patch = "n1"
    assert "paused" == notes.upgrade(kind="reboot", patch="false")
    assert {} == notes.boots
    assert {"n2": 0, "n3": 0} == {name: notes.starts()[name] for name in ("n2", "n3")}
    reason = notes.summary()["reason"]
    assert "the patch command ended with 100 and said last: E: broken. The node was not rebooted" in reason
    assert "It runs, " in reason


def test_a_patch_is_part_of_what_is_approved() -> None:
    """Another command is another plan."""
    plans = [planned("reboot", change.Change(waiting=["n1"], step="switch", patch=patch)) for patch in ("", "apt-get -y upgrade")]
    assert plans[0].hash != plans[1].hash


# --- who waits -------------------------------------------------------------------------------------------------------


def change_of(kind: Any, **nodes: Any) -> Any:
    """The change for a healthy cluster whose nodes say this of themselves."""
    seen = {"c": observation(**{name: {"started_at": at} for name, at in STARTED.items()})}
    return change.of(kind, DECLARED, seen, {name: {"boot": "b", **nodes.get(name, {})} for name in NAMES}, {})


def test_the_hash_covers_what_is_wanted_and_not_who_waits() -> None:
    """A plan that is gone on with is the one that was approved; other settings are another plan."""
    hashes = []
    for waiting, wanted in (("n1", "x"), ("n2", "x"), ("n1", "y")):
        of = change.Change(waiting=[waiting], wanted={"n1": wanted}, step="switch")
        hashes.append(planned("configure", of).hash)
    assert hashes[0] == hashes[1] != hashes[2]


def planned(kind: Any, of: change.Change) -> Any:
    """A plan of etcd."""
    subject = Subject("c", "etcd", "nodewise.cluster.etcd", {"c": NAMES})
    way = [plan.Hop("3.4.23", "3.4.23", plan.Release("3.4.23", []), None)]
    declared = change.declared_for(DECLARED, kind)
    return plan.make(subject, declared, {"c": observation()}, plan.Route(way, kind, change=of), Settings(), {})


def test_files_are_put_back_before_the_process_begins_again() -> None:
    """Whatever the order of the steps, it must not begin with what is to go."""
    made = planned("configure", change.Change(waiting=["n1"], step="switch"))
    assert [change.PUT_BACK, "switch"] == roll.undoing(made, {"configure", "switch"})


def test_a_system_that_no_step_restarts_is_refused() -> None:
    """The step is found by the name that the system declares."""
    declared = Declaration(ready=[], steps=[Step("refill", "refill")], finalize=Step("end"))
    with pytest.raises(Refused, match="no step restarts a member: expected one that is called switch"):
        change.declared_for(declared, "restart")
    assert "refill" == change.declared_for(Declaration([], declared.steps, Step("end"), restarts="refill"), "restart").restarts


def test_what_only_a_restart_heals_is_asked_after_it() -> None:
    """A gate that a restart clears does not keep one from beginning."""
    declared = Declaration(ready=["a", "b"], steps=[Step("switch", "switch")], finalize=Step("end", after=["a"]), clears=["b"])
    changed = change.declared_for(declared, "restart")
    assert (["a"], ["a", "b"]) == (changed.ready, changed.finalize.after)
    assert ["a", "b"] == change.declared_for(declared, "upgrade").ready


@pytest.mark.parametrize("kind", ["restart", "reboot"])
def test_a_process_whose_beginning_nobody_knows_is_refused(kind: Any) -> None:
    """Nobody could tell afterwards whether it was restarted."""
    seen = {"c": observation(n1={"started_at": None})}
    with pytest.raises(Refused, match="n1: when its"):
        change.of(kind, DECLARED, seen, {name: {"boot": None if name == "n1" else "b"} for name in NAMES}, {})
