# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handing the primary's role to a named candidate: asked of Patroni, and believed when the members show it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, Member, PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.patroni import (
    INTERVAL,
    NO_CHANGE,
    STANDING,
    SYNCHRONOUS,
    Patroni,
    anybody,
    barred,
    leader_of,
    member_of,
    tags_of,
    wait,
)
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.session import superuser
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.sessions import terminate, told, wait_for_transactions

PATIENCE_S = 30.0  # a primary that still leads after that was not moved: Patroni looks at what it is asked for every 10 s or so
CATCH_UP_S = 10.0
STREAMS = ("streaming", "running")  # Patroni before 3.1 says running of a replica that streams
STANDBYS = "select coalesce(json_object_agg(application_name, state), '{}') from pg_stat_replication"


class Seen(NamedTuple):
    """What a look showed; None is what could not be read."""

    leader: str | None  # that `/cluster` has
    recovery: bool | None  # whether the candidate is in recovery
    timeline: int | None  # that the candidate writes on
    standby: str | None  # what the candidate says of the old primary
    own_recovery: bool | None  # whether the old primary is


class Aim(NamedTuple):
    """What is to be seen in the end."""

    own: str
    candidate: str
    timeline: int


class Asked(threading.Thread):
    """The request, under way: Patroni answers it when it is done, or never, and what it answers proves nothing."""

    def __init__(self, access: Access, member: Member, aim: Aim, timeout: float) -> None:
        super().__init__(daemon=True)
        self.answer = "not answered yet"
        body = {"leader": aim.own, "candidate": aim.candidate}
        self._access, self._member, self._body, self._timeout = access, member, body, timeout

    def run(self) -> None:
        """Ask, and keep what it says."""
        try:
            status, said = self._access.rest(self._member, "POST", "/switchover", self._body, self._timeout)
            self.answer = f"answered {status} {cut(said, 100)!r}"
        except PostgresqlError as error:
            self.answer = f"not answered ({error})"


def hand_over(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Return what postgresql_leader returns, from its module parameters; PostgresqlError says who leads otherwise, and why."""
    began = time.monotonic()
    access, own, candidate = Access(parameters), parameters["member"], parameters["candidate"]
    here, there = access.member(own), access.member(candidate)
    cluster = anybody(access, own)
    if leader_of(cluster) == candidate and _standing(access, there)["recovery"] is False:
        return _result(began, changed=False, leader=candidate)
    _refuse(access, own, candidate)
    before = access.local_sql(STANDING, port=here.port)
    if before["recovery"]:
        raise PostgresqlError(f"{own} has the leader's lock and is in recovery; nothing was changed: wait until it is promoted")
    if dry:
        return _result(began, changed=True, leader=candidate, previous=own)
    cut = _prepare(access, here, there, parameters)
    aim = Aim(own, candidate, before["timeline"] + 1)
    moment = time.monotonic()
    asked = Asked(access, here, aim, parameters["deadline"])
    asked.start()
    _confirm(access, aim, asked, moment + parameters["deadline"])
    with suppress(PostgresqlError):
        Patroni(access, here).configure(NO_CHANGE)  # what streams is told as stopped until Patroni looks again
    result = _result(began, changed=True, leader=candidate, previous=own, timeline=aim.timeline)
    return {**result, "answer": asked.answer, "terminated": cut, "switch_s": round(time.monotonic() - moment, 3)}


def objections(cluster: dict[str, Any], own: str, candidate: str) -> list[str]:
    """Return why `/cluster` speaks against handing over from one member to another, one line each; none when nothing does."""
    leader, lines = leader_of(cluster), []
    if leader != own:
        lines.append(f"{leader or 'nobody'} leads")
    if cluster.get("pause"):
        lines.append("Patroni is paused: resume it first")
    if cluster.get("scheduled_switchover"):
        lines.append(f"a switchover is scheduled ({cluster['scheduled_switchover'].get('at')}): cancel it, or wait for its end")
    if not member_of(cluster, candidate):
        return [*lines, f"Patroni knows no member {candidate}"]
    return [*lines, *_unfit(cluster, own, candidate)]


def _unfit(cluster: dict[str, Any], own: str, candidate: str) -> list[str]:
    """Why a candidate may not take over."""
    lines, other = [], member_of(cluster, candidate)
    if other.get("state") not in STREAMS:
        lines.append(f"{candidate} is {other.get('state') or 'in an unknown state'}, expected streaming")
    if tag := barred(tags_of(other)):
        lines.append(f"{candidate} has the tag {tag}")
    timelines = {name: member_of(cluster, name).get("timeline") for name in (own, candidate)}
    if None in timelines.values() or len(set(timelines.values())) > 1:
        lines.append(f"timelines are {', '.join(f'{name} {value}' for name, value in timelines.items())}, expected the same")
    synchronous = [one["name"] for one in cluster.get("members", []) if one.get("role") in SYNCHRONOUS]
    if synchronous and candidate not in synchronous:
        lines.append(f"{candidate} is not a synchronous standby ({', '.join(synchronous)} is)")
    return lines


def missing(seen: Seen, aim: Aim) -> str:
    """Return what is not yet as it is meant to be, or nothing."""
    if seen.leader != aim.candidate:
        return f"{seen.leader or 'nobody'} leads"
    if seen.recovery is not False:
        return f"{aim.candidate} has the lock and {'is in recovery' if seen.recovery else 'does not answer'}"
    if seen.timeline != aim.timeline:
        return f"{aim.candidate} leads on timeline {seen.timeline}, expected {aim.timeline}: it was not the only failover"
    if seen.standby != "streaming":
        return f"{aim.candidate} leads, and {aim.own} is not a streaming replica of it: {seen.standby or 'not connected'}"
    return ""


def stayed(seen: Seen, aim: Aim) -> bool:
    """Whether nothing moved at all."""
    return seen.leader == aim.own and seen.own_recovery is False


def verdict(seen: Seen, aim: Aim, answer: str) -> str:
    """Return how it ended, when it did not end as it was meant to, in one or two lines."""
    asked = f"a switchover to {aim.candidate} was asked for and {answer}"
    if stayed(seen, aim):
        return f"it did not happen: {aim.own} still leads on timeline {aim.timeline - 1}; {asked}\nLook at Patroni's log on both"
    if seen.leader not in (None, aim.own, aim.candidate):
        return f"another one leads: {seen.leader}, not {aim.candidate}; {asked}\nLook at Patroni's log on {aim.candidate}"
    if seen.leader == aim.candidate:
        return f"it happened, but has not finished: {missing(seen, aim)}; {asked}"
    own = {None: "does not answer", True: "is in recovery", False: "takes writes"}[seen.own_recovery]
    return f"it is unknown whether it has finished: {missing(seen, aim)}, {aim.own} {own}; {asked}\nSee what /cluster says first"


def _refuse(access: Access, own: str, candidate: str) -> None:
    """Raise with all reasons against asking that do not pass by themselves: `/cluster` is behind by a few seconds."""

    def against() -> str:
        return "; ".join(objections(anybody(access, own), own, candidate))

    if lines := wait(against, time.monotonic() + CATCH_UP_S):
        raise PostgresqlError(f"{own} does not hand over to {candidate}: {lines}. Nothing was changed")


def _prepare(access: Access, here: Member, there: Member, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """All that takes time, while the primary still takes writes. Returns the sessions that were ended, with an operator's leave."""
    with superuser(access, here.port) as sql:
        sql("checkpoint", parameters["deadline"])  # or it is written while there is no primary
        _catch_up(access, there, sql(STANDING)["lsn"])
        left = wait_for_transactions(sql, parameters["drain_s"])
        if left and not parameters["terminate"]:
            raise PostgresqlError(
                f"a switchover would cut off transactions on {here.name}: {told(left)}. "
                f"Nothing was changed: {here.name} leads.\n"
                "Let it end, or allow cutting it off: -e nodewise_drain_terminate=always"
            )
        return terminate(sql, left)


def _catch_up(access: Access, there: Member, lsn: int) -> None:
    """Wait until the candidate has replayed what the primary had written."""

    def behind() -> str:
        has = _standing(access, there)["lsn"]
        return "" if has is not None and has >= lsn else f"it has replayed {has}, {lsn - (has or 0)} bytes behind {lsn}"

    if lag := wait(behind, time.monotonic() + CATCH_UP_S):
        raise PostgresqlError(f"{there.name} did not catch up in {CATCH_UP_S:.0f} s: {lag}. Nothing was changed: see its log")


def _confirm(access: Access, aim: Aim, asked: Asked, until: float) -> None:
    patience = time.monotonic() + PATIENCE_S
    while True:
        seen = _look(access, aim)
        if not missing(seen, aim):
            return
        now = time.monotonic()
        if now >= min(patience, until):
            seen = seen._replace(own_recovery=_recovery(access, aim.own))
            if now >= until or stayed(seen, aim):
                raise PostgresqlError(verdict(seen, aim, asked.answer))
        time.sleep(INTERVAL)


def _look(access: Access, aim: Aim) -> Seen:
    """SQL costs processes, which the switchover would have to share the node with: only who has the lock is asked."""
    seen = Seen(None, None, None, None, None)
    try:
        seen = seen._replace(leader=leader_of(anybody(access, aim.candidate)))
        if seen.leader == aim.candidate:
            there = access.member(aim.candidate)
            found = _standing(access, there)
            seen = seen._replace(recovery=found["recovery"], timeline=found["timeline"])
            seen = seen._replace(standby=access.sql(there, STANDBYS).get(aim.own))
    except PostgresqlError:
        pass  # None says it; a moment later there may be an answer
    return seen


def _recovery(access: Access, name: str) -> bool | None:
    try:
        return bool(access.local_sql("select to_json(pg_is_in_recovery())", port=access.member(name).port))
    except PostgresqlError:
        return None


def _standing(access: Access, member: Member) -> dict[str, Any]:
    found = access.sql(member, STANDING)
    return dict(found)


def _result(began: float, **fields: Any) -> dict[str, Any]:
    all_of: dict[str, Any] = {
        "leader": None,
        "previous": None,
        "timeline": None,
        "answer": None,
        "terminated": [],
        "switch_s": None,
    }
    return {**all_of, **fields, "seconds": round(time.monotonic() - began, 3)}
