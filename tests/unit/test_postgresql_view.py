"""What the answers of PostgreSQL's members add up to. Each case holds answers as real members gave them, and the observation."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import complaint
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.switch import paused_by
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.view import assemble, compare, slot_name, timelines_of
from nodewise.model import Observation

CASES = sorted((Path(__file__).parents[1] / "cases" / "postgresql_info").glob("*.json"))


def load(name: str) -> Any:
    """One case, by its file's name."""
    return json.loads((CASES[0].parent / f"{name}.json").read_text())


def observed(case: dict[str, Any]) -> dict[str, Any]:
    """The observation of a case."""
    return compare(assemble(case["answers"], case["component"], case["long_s"]), case["found"])


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The observation of healthy answers with a change made to them."""
    case = load("healthy")
    change(case["answers"])
    return observed(case)


def errors(found: dict[str, Any], name: str) -> str:
    """What a member complains about."""
    return "; ".join(next(member["errors"] for member in found["members"] if member["name"] == name))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_answers_add_up_to_an_observation(path: Path) -> None:
    """The answers of a situation give exactly its observation, in the shape that the engine expects."""
    case = json.loads(path.read_text())
    before = deepcopy(case["answers"])
    found = observed(case)
    msgspec.convert(found, Observation)
    assert found.pop("at").endswith("Z")
    assert case["observation"] == found
    assert before == case["answers"]


DISAGREEMENTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str, str]] = {
    "leader": (
        lambda all_: all_["n3"]["cluster"]["members"][0].update(role="replica"),
        "leader",
        "n3",
        "leader: none, but n1 says n1",
    ),
    "system": (lambda all_: all_["n2"]["sql"].update(system_identifier="7"), "id", "n2", "system identifier: 7, but"),
    "major": (lambda all_: all_["n2"]["sql"].update(version="16.2"), "version", "n2", "major version: 16, but n1 says 15"),
    "sql against Patroni": (lambda all_: all_["n1"]["sql"].update(in_recovery=True), "leader", "n1", "but it is in recovery"),
    "two primaries": (lambda all_: all_["n2"]["sql"].update(in_recovery=False), "leader", "n2", "but Patroni has n1 as the leader"),
}


@pytest.mark.parametrize("what", DISAGREEMENTS)
def test_where_members_disagree_nothing_is_known(what: str) -> None:
    """What two members, or a member and its Patroni, say differently is null, and the member carries the disagreement."""
    change, key, name, error = DISAGREEMENTS[what]
    found = changed(change)
    assert found["cluster"][key] is None
    assert error in errors(found, name)


@pytest.mark.parametrize("word", ["on", "True", "yes", "1", True, 1, "off", "false", "no", "0", False, 0, None, "perhaps", ""])
def test_switches_are_read_as_patroni_reads_them(word: Any) -> None:
    """A word that means off is off, also where Python would call it true."""
    on = word in ("on", "True", "yes", "1", True)

    def change(all_: dict[str, Any]) -> None:
        for found in all_.values():
            found["config"] |= {"synchronous_mode": word, "postgresql": {**found["config"]["postgresql"], "use_slots": word}}
        all_["n1"]["sql"]["slots"] = []

    details = changed(change)["cluster"]["details"]
    assert (on, on) == (details["synchronous"], bool(details["slots"]))
    assert on == (paused_by({"pause": word}) == "")


def test_members_on_two_timelines_have_none() -> None:
    """A replica on another timeline makes the timeline unknown; one that receives nothing does, too."""
    for timeline in (7, None):
        found = changed(lambda all_, to=timeline: all_["n3"]["sql"].update(timeline=to))  # type: ignore[misc]
        assert found["cluster"]["details"]["timeline"] is None
        assert "timeline: " in errors(found, "n3")


def test_a_role_that_patroni_contradicts_is_none() -> None:
    """A member that is a replica by SQL and leads by its own Patroni has no role, and so does not serve."""
    found = changed(lambda all_: all_["n2"]["patroni"].update(role="master"))
    member = found["members"][1]
    assert (None, False) == (member["role"], member["serving"])
    assert "by SQL it is a replica, by Patroni a master" in errors(found, "n2")


@pytest.mark.parametrize("what", ["sql", "patroni", "cluster", "config"])
def test_what_one_member_did_not_answer(what: str) -> None:
    """An answer that is missing is never nothing: the member has the error, and what only it could tell is null."""

    def silent(all_: dict[str, Any]) -> None:
        all_["n2"].pop(what)
        all_["n2"]["errors"][what] = "no answer in time"

    found = changed(silent)
    assert f"{what}: no answer in time" in errors(found, "n2")
    member = found["members"][1]
    assert {"sql": (None, None), "patroni": ("15.18", "replica")}.get(what, ("15.18", "replica")) == (
        member["version"],
        member["role"],
    )
    assert (what in ("cluster", "config")) == member["serving"]
    if what == "sql":
        assert (None, None) == (member["lag"], member["details"]["sessions"])
        assert found["cluster"]["details"]["checksum_failures"] is None
    if what == "patroni":
        assert (None, None) == (member["details"]["patroni"], member["details"]["tags"])
        assert ["n2"] == [one["member"] for one in found["cluster"]["details"]["store"]["unseen"]]


def test_nobody_answers() -> None:
    """Where nobody could be asked everything is null, and not empty."""
    silent = {name: {"errors": {"sql": "connection refused"}, "asked_at": 0.0} for name in ("n1", "n2")}
    found = compare(assemble(silent, "postgresql", 300), {"at": None, "members": {}, "errors": {}})
    details = found["cluster"]["details"]
    store, known = details.pop("store"), {key: value for key, value in details.items() if value is not None}
    assert {} == known
    assert ["n1", "n2"] == [one["member"] for one in store["unseen"]]
    assert [None, None] == [found["cluster"]["leader"], found["cluster"]["quorum"]]
    assert ["sql: connection refused"] == found["members"][0]["errors"]


def test_the_version_is_that_of_the_component() -> None:
    """Asked for Patroni, members have Patroni's version, and the same details."""
    case = load("healthy")
    found = observed({**case, "component": "patroni"})
    assert ["3.3.11"] * 3 == [member["version"] for member in found["members"]]
    assert [member["details"] for member in case["observation"]["members"]] == [member["details"] for member in found["members"]]


def test_a_different_fingerprint_is_named_on_the_member_that_differs() -> None:
    """One member of three that differs is the one with the error; of two both are."""
    case = load("healthy")
    case["found"]["members"]["n2"] = "other"
    found = observed(case)
    assert found["cluster"]["fingerprint"] is None
    assert [bool(member["errors"]) for member in found["members"]] == [False, True, False]
    case["found"]["members"].pop("n3")
    assert [bool(member["errors"]) for member in observed(case)["members"]] == [True, True, True]


@pytest.mark.parametrize(
    ("tags", "candidate"),
    [
        ({}, True),
        ({"nofailover": True}, False),
        ({"failover_priority": 0}, False),
        ({"failover_priority": 2}, True),
        ({"failover_priority": -1}, False),
        ({"nofailover": False, "failover_priority": 0}, True),
    ],
)
def test_who_may_take_over(tags: dict[str, Any], candidate: bool) -> None:
    """A member that must not take over says so in its tags, in either way that Patroni has."""
    found = changed(lambda all_: all_["n2"]["patroni"].update(tags=tags))
    assert candidate == found["members"][1]["details"]["candidate"]


HISTORY = "1\t0/5000148\tno recovery target specified\n\n2\t1/10\tno recovery target specified\n"


@pytest.mark.parametrize(
    ("timeline", "own", "store", "expected"),
    [
        (1, None, None, []),
        (3, HISTORY, [], [[1, 0x5000148], [2, 2**32 + 16]]),
        (3, None, [[1, 83886408, "x"], [2, 4294967312, "x", "then", "n2"]], [[1, 83886408], [2, 4294967312]]),
        (3, None, [[1, 83886408, "x"]], None),
        (3, None, [], None),
        (3, None, None, None),
        (None, HISTORY, [], None),
    ],
)
def test_where_a_timeline_came_from(timeline: int | None, own: str | None, store: Any, expected: Any) -> None:
    """The member's own file tells, else Patroni's store, unless that has not heard of the last switchover."""
    found = {"sql": {"timeline": timeline, "history": own}, **({} if store is None else {"history": store})}
    assert expected == timelines_of(found)


@pytest.mark.parametrize(
    ("member", "slot"), [("n1", "n1"), ("DB-1.example", "db_1_example"), ("a b", "au0032b"), ("x" * 70, "x" * 63)]
)
def test_the_slot_of_a_member(member: str, slot: str) -> None:
    """Slots are named as Patroni names them."""
    assert slot == slot_name(member)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            'psql: error: connection to server at "10.0.0.1", port 5432 failed: Connection refused\n\tIs the server',
            "Connection refused",
        ),
        (
            'psql: error: connection to server at "h", port 1 failed: FATAL:  no pg_hba.conf entry for host "x"',
            'no pg_hba.conf entry for host "x"',
        ),
        ("psql:<stdin>:2: ERROR:  division by zero\nLINE 1: select 'secret'", "division by zero"),
        ("could not change directory\nsomething else", "something else"),
        ("", ""),
    ],
)
def test_a_complaint_in_short(said: str, why: str) -> None:
    """Of what a program complains about the reason is kept, and never the statement."""
    assert why == complaint(said)


def test_a_cluster_that_follows_another_is_one() -> None:
    """By Patroni's dynamic configuration, which all members have to say."""
    standby = {"host": "192.0.2.7", "port": 5432}

    def told(*names: str) -> Any:
        found = changed(lambda all_: [all_[name]["config"].update(standby_cluster=standby) for name in names])  # type: ignore[func-returns-value]
        return found["cluster"]["details"]["standby_cluster"]

    assert (False, True, None) == (told(), told("n1", "n2", "n3"), told("n2"))


def test_a_replica_that_follows_a_replica_is_named() -> None:
    """By its tag, as the store has it."""
    found = changed(lambda all_: all_["n1"]["cluster"]["members"][2].update(tags={"replicatefrom": "n2"}))
    assert ["n3"] == found["cluster"]["details"]["cascading"]
