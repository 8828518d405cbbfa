"""Plans: what is refused, in which order nodes go, and what the hash covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.errors import Refused
from nodewise.model import Artifact, Hop, Observation, Plan, Release, Settings, Subject
from nodewise.record.commands import named
from nodewise.releases.rules import Hops, load_rules
from nodewise.upgrade import approval, memory, order, plan
from nodewise.upgrade.declared import declaration, vocabulary
from nodewise.upgrade.path import Resolver, hops_through, recovered_to, versions_ahead, way_back
from nodewise.upgrade.preflight import refuse_unfit, waived, without
from nodewise.views.plan import describe

from .observed import observation

ETCD = Path(__file__).parents[2] / "roles" / "etcd"
NAMES = ["n1", "n2", "n3"]
RELEASE = Release(version="3.5.16", artifacts=[Artifact(url="http://x/etcd.deb", sha256="0" * 64, kind="deb", size=10 << 20)])
FIT = {"free_bytes": 1 << 30, "errors": [], "ahead_s": -0.2}


RULES, DECLARED = load_rules(ETCD), declaration(ETCD)


def release(version: str) -> Release:
    """A release that nobody downloads."""
    return msgspec.structs.replace(RELEASE, version=version)


def made(seen: Observation | None = None, members: list[str] | None = None, to: str = "3.5.16", **settings: Any) -> Plan:
    """A plan of etcd for the observation."""
    subject = Subject("c", "etcd", "nodewise.cluster.etcd", {"c": members or NAMES})
    observations = {"c": seen or observation()}
    stops = versions_ahead(RULES, ["3.4.23"], to)
    way = hops_through(RULES, DECLARED, "3.4.23", stops, Resolver(release))
    return plan.make(subject, DECLARED, observations, plan.Route(way), Settings(**settings), {})


def hop(of: Plan) -> Hop:
    """Its only hop."""
    return of.hops[0]


def test_a_canary_first_and_the_leader_last() -> None:
    """Followers go in the order of their names, the leader after all of them."""
    batches = made().batches
    assert [["n1"], ["n3"], ["n2"]] == [batch.nodes for batch in batches]
    assert "canary" in batches[0].reason
    assert "leader" in batches[-1].reason


def test_members_that_are_done_have_no_batch() -> None:
    """A member that runs the target already is not in the plan's batches."""
    assert [["n3"], ["n2"]] == [batch.nodes for batch in made(observation(n1={"version": "3.5.16"})).batches]


def test_a_leader_that_moved_is_no_drift() -> None:
    """The hash stays when only the leader is another one."""
    moved = observation({"leader": "n1"}, n1={"role": "leader"}, n2={"role": "follower"})
    assert made().hash == made(moved).hash


@pytest.mark.parametrize("other", [{"soak": 5.0}, {"waive": {"no_alarms": "known"}}])
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
    with pytest.raises(Refused, match="nodewise_waive"):
        made(two, ["n1", "n2"])
    assert made(two, ["n1", "n2"], waive={"quorum_at_risk": "a test"}).batches


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
        ({"n2": {**FIT, "ahead_s": 9.8}}, "10.0 s apart"),
        ({"n3": {**FIT, "certificates": {"node.crt": {"seconds_left": 60, "not_after": "T"}}}}, "n3: node.crt ends at T"),
        ({"n2": {**FIT, "ahead_s": None}}, "n2: the clock could not be read"),
        (
            {"n2": {**FIT, "restarters": [{"name": "needrestart", "pid": 4711}]}},
            r"n2: needrestart \(pid 4711\) is at work and may restart services at any moment; wait until it ends",
        ),
        ({"n2": {**FIT, "data": {"bytes": 3 << 20, "free_bytes": 2 << 20}}}, "n2: its data takes 3 MiB and 2 MiB are free"),
    ],
)
def test_a_node_that_cannot_carry_it_is_refused(nodes: dict[str, Any], words: str) -> None:
    """A full disk, a clock that is off, and what a node could not say of itself, each by the node's name."""
    with pytest.raises(Refused, match=words):
        refuse_unfit(made(), {name: nodes.get(name, FIT) for name in NAMES})


def test_fit_nodes_pass() -> None:
    """Nodes with room and one time are fit; data that an upgrade does not copy may be more than what is free."""
    refuse_unfit(made(), dict.fromkeys(NAMES, FIT))
    full = {**FIT, "data": {"bytes": 3 << 20, "free_bytes": 2 << 20, "room": False}}
    refuse_unfit(made(), dict.fromkeys(NAMES, full))


def test_a_plan_survives_being_written_down() -> None:
    """What is in plan.yaml is the plan."""
    assert made() == msgspec.convert(msgspec.to_builtins(made()), Plan)


def test_what_is_waited_for_is_filled_in() -> None:
    """`to` in a step's conditions becomes the version of the current node and the target's minor."""
    steps = {step.name: step for step in [*made().steps, made().finalize]}
    assert {"n1": "3.5.16"} == plan.settled(steps["switch"], hop(made()), "n1", "3.5.16")["versions"]
    assert "3.5" == plan.settled(steps["finalize"], hop(made()), None, "3.5.16")["cluster_version"]


def test_a_gate_that_nobody_defines_is_refused() -> None:
    """A misspelt gate would never fire, so it is refused by name."""
    declared = declaration(ETCD)
    declared.ready.append("no_such_gate")
    with pytest.raises(Refused, match="no_such_gate"):
        vocabulary(declared, {})


QUOTA = {"what": "its arguments differ", "runs": "--quota 2", "restart": "--quota 1", "do": "restart it", "hash": "5ad10c3f"}


def restarting(plan: Plan, **restart: Any) -> list[str]:
    """Why a plan is refused, of whose members n2 says this about a restart."""
    nodes = {**dict.fromkeys(NAMES, FIT), "n2": {**FIT, "restart": restart}}
    try:
        refuse_unfit(plan, nodes)
    except Refused as refused:
        return str(refused).splitlines()
    return []


def test_what_would_come_up_with_the_restart_is_refused() -> None:
    """What runs is not what a restart would bring up: both values are named, what to do, and how it is accepted."""
    assert restarting(made(), differences=[QUOTA]) == [
        "n2: its arguments differ: now --quota 2, after a restart --quota 1; restart it (5ad10c3f)",
        'Where that is meant to come with the upgrade, let it pass in this run: -e \'{"nodewise_waive": {"5ad10c3f": "REASON"}}\'',
    ]


def test_what_is_accepted_by_its_hash_is_a_gap() -> None:
    """The plan goes on and says so; of two differences the other one is refused all the same."""
    other = {**QUOTA, "what": "its program differs", "hash": "00000000"}
    waiving = made(waive={"5ad10c3f": "it comes with the release"})
    assert [] == restarting(waiving, differences=[QUOTA])
    first, last = restarting(waiving, differences=[QUOTA, other])
    assert first.startswith("n2: its program differs")
    assert '{"00000000": "REASON"}' in last
    nodes = {**dict.fromkeys(NAMES, FIT), "n2": {**FIT, "restart": {"differences": [QUOTA, other]}}}
    line = "waived on n2: its arguments differ: now --quota 2, after a restart --quota 1 (5ad10c3f)"
    assert [line] == waived(waiving, nodes)


def test_members_that_are_not_restarted_may_differ() -> None:
    """One that runs the target already has no batch, and one that is recovered is made anew first."""
    assert [] == restarting(made(observation(n2={"version": "3.5.16"})), differences=[QUOTA], exec_start="ExecStart=/x")
    assert [] == restarting(msgspec.structs.replace(made(), recover={"n2": RELEASE}), differences=[QUOTA])


def test_an_exec_start_that_does_not_go_through_the_link_is_refused() -> None:
    """Before anything is stopped, with the line to write; a release of packages has no link to go through."""
    restart = {"link": "/opt/etcd/current", "exec_start": "ExecStart=/opt/etcd/current/bin/etcd --name n2"}
    (line,) = restarting(made(), **restart)
    assert line.startswith("n2: its ExecStart does not go through /opt/etcd/current, which the upgrade switches; give the unit")
    assert "ExecStart= and ExecStart=/opt/etcd/current/bin/etcd --name n2 (systemctl edit)" in line
    packages = msgspec.structs.replace(RELEASE, artifacts=[msgspec.structs.replace(RELEASE.artifacts[0], kind="package")])
    installed = msgspec.structs.replace(made(), hops=[msgspec.structs.replace(hop(made()), release=packages)])
    assert [] == restarting(installed, **restart)
    assert [] == restarting(made(), link="/opt/etcd/current", exec_start="")


@pytest.mark.parametrize(("deadline", "refused"), [(120.0, True), (90.0, False)])
def test_a_start_that_systemd_ends_before_the_deadline_is_refused(deadline: float, refused: bool) -> None:
    """With both numbers, and the setting; one that nothing ends is fine."""
    lines = restarting(made(deadline=deadline), limit={"setting": "TimeoutStartSec", "seconds": 90.0})
    words = "n2: systemd ends its start after 90 s (TimeoutStartSec), and the plan waits 120 s; give the unit a drop-in with "
    assert refused is bool(lines)
    assert all(line.startswith(f"{words}TimeoutStartSec=infinity") for line in lines)
    assert [] == restarting(made(deadline=deadline), limit=None)


def test_a_target_several_minors_away_is_several_hops() -> None:
    """Each minor is a hop, so are the patches after its entry, and each knows whether it can be taken back."""
    old = observation({"version": "3.3"}, **{name: {"version": "3.3.25"} for name in NAMES})
    way = hops_through(RULES, DECLARED, "3.3.25", versions_ahead(RULES, ["3.3.25"], "3.5.30"), Resolver(release))
    assert [("3.3.25", "3.4.23"), ("3.4.23", "3.5.16"), ("3.5.16", "3.5.30")] == [(one.start, one.to) for one in way]
    assert [True, True, False] == [one.no_return is not None for one in way]
    subject = Subject("c", "etcd", "nodewise.cluster.etcd", {"c": NAMES})
    three = plan.make(subject, DECLARED, {"c": old}, plan.Route(way), Settings(), {})
    assert [["n1"], ["n3"], ["n2"]] == [batch.nodes for batch in three.batches if batch.to == "3.4.23"]
    assert ["3.4.23"] * 3 + ["3.5.16"] * 3 + ["3.5.30"] * 3 == [batch.to for batch in three.batches]
    assert "3.3.25 → 3.4.23 → 3.5.16 → 3.5.30" in "\n".join(describe(three))


def test_stops_of_an_operator_replace_the_rules() -> None:
    """nodewise_upgrade_path says where to stop, and [] that nothing is stopped at."""
    assert ["3.5.30"] == versions_ahead(RULES, ["3.4.23"], "3.5.30", [])
    assert ["3.5.16", "3.5.30"] == versions_ahead(RULES, ["3.4.23"], "3.5.30", ["3.5.16"])
    with pytest.raises(Refused, match=r"nodewise_upgrade_path names 3\.5\.17"):
        versions_ahead(RULES, ["3.4.23"], "3.5.30", ["3.5.17"])
    with pytest.raises(Refused, match=r"nodewise_upgrade_path names 3\.5\.30, which is not on the way to 3\.5\.16"):
        versions_ahead(RULES, ["3.4.23"], "3.5.16", ["3.5.30"])


def test_a_system_that_may_leap_stops_where_it_is_told_to() -> None:
    """Without a stop it goes straight to the target; one that is behind is none."""
    leaps = msgspec.structs.replace(RULES, hops=Hops(step="any"), enter={})
    assert ["3.5.30"] == versions_ahead(leaps, ["3.3.25"], "3.5.30")
    assert ["3.4.23", "3.5.30"] == versions_ahead(leaps, ["3.3.25"], "3.5.30", ["3.4.23"])
    assert ["3.5.30"] == versions_ahead(leaps, ["3.4.23"], "3.5.30", ["3.4.23"])
    entered = msgspec.structs.replace(leaps, enter={"3.5": "3.5.16"})
    assert ["3.5.16", "3.5.30"] == versions_ahead(entered, ["3.3.25"], "3.5.30")


RECORD = {"kind": "upgrade", "to": "3.5.16", "path": ["3.5.16"], "from": "3.4.23", "cluster_version": "3.4", "outcome": "paused"}
MIXED = observation(n1={"version": "3.5.16"})


def test_a_resumed_plan_is_the_same_plan() -> None:
    """With what the nodes remember the hash is that of before the first change, wherever the run is resumed."""
    found = memory.originals(dict.fromkeys(NAMES, RECORD), {"c": MIXED}, "3.5.16")
    assert dict.fromkeys(NAMES, "3.4.23") == found.versions
    subject = Subject("c", "etcd", "nodewise.cluster.etcd", {"c": NAMES})
    way = hops_through(RULES, DECLARED, "3.4.23", ["3.5.16"], Resolver(release))
    resumed = plan.make(subject, DECLARED, {"c": MIXED}, plan.Route(way, before=found), Settings(), {})
    assert made().hash == resumed.hash
    assert [["n3"], ["n2"]] == [batch.nodes for batch in resumed.batches]


@pytest.mark.parametrize(
    "record", [{**RECORD, "to": "3.5.30"}, {**RECORD, "outcome": "upgraded"}, {**RECORD, "kind": "rollback"}, None]
)
def test_what_belongs_to_another_upgrade_is_not_resumed(record: dict[str, Any] | None) -> None:
    """Another target, a finished upgrade, a rollback, or nothing: the versions are those that run."""
    assert {} == memory.originals(dict.fromkeys(NAMES, record), {"c": MIXED}, "3.5.16").versions


def test_a_version_that_is_not_on_the_way_is_drift() -> None:
    """A member that somebody put on another version counts as what it runs, and the hash is another one."""
    strange = observation(n1={"version": "3.4.24"})
    assert "n1" not in memory.originals(dict.fromkeys(NAMES, RECORD), {"c": strange}, "3.5.16").versions
    assert ["versions: n1: was 3.4.23, is 3.4.24"] == approval.drift(made(), made(strange))


def test_drift_names_what_is_another() -> None:
    """Members, settings and artifacts, a line each."""
    two = made(observation({"quorum": 1}, n3=None), ["n1", "n2"])
    assert any(line.startswith("groups: c: was") for line in approval.drift(made(), two))
    assert ["settings: soak: was null, is 5.0"] == approval.drift(made(), made(soak=5.0))
    assert [] == approval.drift(made(), made())


@pytest.mark.parametrize(
    ("seen", "records", "expected"),
    [
        (MIXED, RECORD, ("3.5.16", "3.4.23")),
        (
            observation(**{name: {"version": "3.5.30"} for name in NAMES}),
            {**RECORD, "from": "3.5.16", "path": ["3.5.30"]},
            ("3.5.30", "3.5.16"),
        ),
    ],
)
def test_the_way_back_is_one_rung_down(seen: Observation, records: dict[str, Any], expected: tuple[str, str]) -> None:
    """A mixed cluster goes back to its lower version, a finished patch to where it began."""
    assert expected == way_back(RULES, DECLARED, dict.fromkeys(NAMES, records), {"c": seen})


ALL_NEW = {name: {"version": "3.5.16"} for name in NAMES}


@pytest.mark.parametrize(
    ("seen", "record", "words"),
    [
        (observation({"version": "3.5"}, **ALL_NEW), RECORD, "playbooks/restore.yml"),
        (observation({"version": None}, **ALL_NEW), RECORD, "do not agree on the cluster version, or do not tell it"),
        (observation(), None, "remember no upgrade"),
        (observation(), RECORD, "which is where the last upgrade began"),
    ],
)
def test_there_is_no_way_back(seen: Observation, record: dict[str, Any] | None, words: str) -> None:
    """Past the point of no return, when it is unknown whether it is past, without a memory, and at the beginning."""
    with pytest.raises(Refused, match=words):
        way_back(RULES, DECLARED, dict.fromkeys(NAMES, record), {"c": seen})


def test_a_member_to_repair_may_be_down() -> None:
    """It is not asked about before the upgrade; any other that is down still is. It comes back on what the others run."""
    down = observation(n3={"serving": False, "version": None, "fingerprint": None, "errors": ["gone"]})
    subject = Subject("c", "etcd", "nodewise.cluster.etcd", {"c": NAMES})
    way = hops_through(RULES, DECLARED, "3.4.23", ["3.5.16"], Resolver(release))
    assert ["n3"] == memory.to_recover(["n3", "n1"], DECLARED, dict.fromkeys(NAMES), {"c": down})
    assert "3.4.23" == recovered_to("n3", {"c": NAMES}, {"c": down}, way)
    recovered = plan.make(subject, DECLARED, {"c": down}, plan.Route(way, recover={"n3": release("3.4.23")}), Settings(), {})
    assert made().hash == recovered.hash, "the plan is another one once the member is back"
    with pytest.raises(Refused, match="members_serving"):
        plan.make(subject, DECLARED, {"c": down}, plan.Route(way, recover={"n1": release("3.4.23")}), Settings(), {})


def test_a_member_that_an_earlier_run_died_on_is_brought_back() -> None:
    """A step that was begun and not ended, on a member that is down, is a recovery that nobody has to ask for."""
    down = observation(n3={"serving": False, "version": None})
    cut = {"n3": {**RECORD, "steps": [{"step": "switch", "began": "T", "ended": None, "ok": None}]}}
    staged = {"n3": {**RECORD, "steps": [{"step": "release_stage", "began": "T", "ended": "T", "ok": False}]}}
    assert ["n3"] == memory.to_recover([], DECLARED, {**dict.fromkeys(NAMES), **cut}, {"c": down})
    assert [] == memory.to_recover([], DECLARED, {**dict.fromkeys(NAMES), **staged}, {"c": down}), "somebody else stopped it"
    assert [] == memory.to_recover([], DECLARED, {**dict.fromkeys(NAMES), **cut}, {"c": observation()})


def test_who_is_to_be_recovered_is_a_member() -> None:
    """A name that is no member's is refused with those that are."""
    with pytest.raises(Refused, match="nodewise_recover names n9; the members are n1, n2, n3"):
        memory.to_recover(["n9"], DECLARED, dict.fromkeys(NAMES), {"c": observation()})


SUBJECT = Subject("c", "demo", "acme.demo.notes", {"c": NAMES})
SIDECAR = {"to": "9", "kind": "upgrade", "component": "sidecar", "outcome": "paused", "steps": [{"step": "switch"}]}


def test_another_component_in_the_middle_of_its_upgrade_is_in_the_way() -> None:
    """It is named with both ways out of it."""
    with pytest.raises(Refused, match=r"(?s)sidecar to 9 has not ended.*nodewise_component=sidecar.*rollback"):
        memory.refuse_unfinished({"n1": {"upgrade": SIDECAR}}, SUBJECT)
    with pytest.raises(Refused, match="sidecar"):
        memory.refuse_unfinished({"n1": {"upgrade": None, "others": {"sidecar": SIDECAR}}}, SUBJECT)


@pytest.mark.parametrize("change", [{"outcome": "upgraded"}, {"steps": []}, {"component": ""}])
def test_an_upgrade_that_ended_or_changed_nothing_is_in_nobodys_way(change: dict[str, Any]) -> None:
    """Nor is the one that is gone on with."""
    memory.refuse_unfinished({"n1": {"upgrade": {**SIDECAR, **change}}, "n2": None}, SUBJECT)


def test_a_record_is_that_of_its_component() -> None:
    """Whether it is the current one or beside it."""
    state = {"upgrade": {"to": "2"}, "others": {"sidecar": SIDECAR}}
    assert ["2", "9", None] == [(memory.record_of(state, name) or {}).get("to") for name in ("", "sidecar", "other")]
    assert memory.record_of(None, "") is None


def test_commands_name_the_component() -> None:
    """A command that is printed does what it says when it is copied."""
    assert "-e nodewise_cluster=c -e nodewise_component=sidecar" == named("c", "sidecar")
    assert "-e nodewise_cluster=c" == named("c", "")


def test_members_that_are_down_are_left_out_of_the_details_too() -> None:
    """A gate over what the cluster says of each member does not stumble over one that is brought back first."""
    details = {
        "standbys": {"n2": {"state": None}, "n3": {}},
        "slots": [{"member": "n2"}, {"member": "n3"}],
        "timeline": 2,
        "alarms": [],
    }
    seen = without(observation({"details": details}), ["n2"])
    assert {"standbys": {"n3": {}}, "slots": [{"member": "n3"}], "timeline": 2, "alarms": []} == seen.cluster.details
    assert ["n1", "n3"] == [member.name for member in seen.members]


BARRED = {"details": {"candidate": False, "barred": "has the tag nofailover"}}


def test_a_leader_that_nobody_may_take_over_from_is_refused() -> None:
    """Before any member is changed, with the members and why none may; one that may is enough."""
    learner = {"role": "learner"}
    seen = observation(n1=BARRED, n3={"details": {"candidate": False}})
    with pytest.raises(Refused) as refused:
        made(seen)
    first, last = str(refused.value).splitlines()
    said = "n1 has the tag nofailover; n3 is no candidate, as the system says"
    assert f"n2 leads and no member may take over from it, which its upgrade needs: {said}" == first
    assert "Let one of them take over, then run the same command again" == last
    assert made(observation(n1=BARRED)).batches
    assert "is a learner" == order.barred(observation(n3=learner).members[2])
    assert "does not serve" == order.barred(observation(n3={"serving": False}).members[2])


def test_whoever_takes_over_hands_over_in_the_next_hop() -> None:
    """With two hops, two members have to be able to lead."""
    only = observation({"version": "3.4"}, n1=BARRED, n2=BARRED)
    assert made(only).batches
    with pytest.raises(Refused, match="n1 has the tag nofailover; n2 has the tag nofailover"):
        made(only, to="3.5.30")
    assert 2 == len(made(observation(n1=BARRED), to="3.5.30").hops)


def test_a_leader_that_is_not_changed_needs_no_successor() -> None:
    """Where it runs the target already, and where a system hands nothing over."""
    assert ["n1"] == [batch.nodes[0] for batch in made(observation(n1=BARRED, n2=DONE, n3={**BARRED, **DONE})).batches]
    declared = msgspec.structs.replace(DECLARED, steps=[step for step in DECLARED.steps if step.only == "always"])
    subject = Subject("c", "etcd", "nodewise.cluster.etcd", {"c": NAMES})
    way = hops_through(RULES, DECLARED, "3.4.23", ["3.5.16"], Resolver(release))
    seen = {"c": observation(n1=BARRED, n3=BARRED)}
    assert plan.make(subject, declared, seen, plan.Route(way), Settings(), {}).batches


def test_who_is_not_back_yet_may_take_over_once_it_is() -> None:
    """A member that an earlier run left out of service has that run's tags, and is taken through its batch first."""
    seen = observation(n1={"details": {**BARRED["details"], "unfinished": True}}, n3=BARRED)
    assert made(seen).batches


DONE = {"version": "3.5.16"}
