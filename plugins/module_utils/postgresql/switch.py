# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Having a member's Patroni run from another release while its PostgreSQL goes on: pause, stop, link, start, resume.

The pause is written together with the member that it is for (`nodewise_paused`), in one change of the configuration that all
members share: whoever comes after a run that was killed sees whose pause it is, and one of somebody else's is left alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import Unit
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.patroni import (
    MARK,
    STANDING,
    Patroni,
    anybody,
    enabled,
    leader_of,
    wait,
)
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import Store
from ansible_collections.nodewise.cluster.plugins.module_utils.release.switching import begun_since, restart, settled, switch

UPDATE_S = 0.2  # between the moment that Patroni reads its store and the moment that it acts on what it read
RESUME_S = 30.0


class Member:
    """The member of this node, with its unit, its PostgreSQL and the cluster that it is of."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.access, self.name = Access(parameters), parameters["member"]
        self.here = self.access.member(self.name)
        self.patroni, self.unit = Patroni(self.access, self.here), Unit(parameters["unit"])
        self.data_dir = parameters["data_dir"]

    def postmaster(self) -> int | None:
        """Return the pid of its PostgreSQL, None when it does not run."""
        try:
            with open(os.path.join(self.data_dir, "postmaster.pid"), encoding="utf-8") as stream:
                pid = int(stream.readline())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def primary(self) -> bool | None:
        """Return whether its PostgreSQL takes writes; None when it does not say."""
        return None if (found := self._standing()) is None else not found["recovery"]

    def timeline(self) -> int | None:
        """Return the timeline that its PostgreSQL writes or receives; None when it does neither, or does not say."""
        return (self._standing() or {}).get("timeline")

    def _standing(self) -> dict[str, Any] | None:
        try:
            return dict(self.access.local_sql(STANDING, port=self.here.port))
        except PostgresqlError:
            return None

    def any_patroni(self) -> Patroni:
        """Return the first Patroni of the cluster that answers, this member's own before the others'."""
        errors = []
        for member in sorted(self.access.members, key=lambda one: one.name != self.name):
            patroni = Patroni(self.access, member)
            try:
                patroni.config()
            except PostgresqlError as error:
                errors.append(f"{member.name}: {error}")
            else:
                return patroni
        raise PostgresqlError(f"no Patroni answers: {'; '.join(errors)}")


def change(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Return what patroni_switch returns, from its module parameters; call it under the node's lock."""
    began = time.monotonic()
    member, store, version = Member(parameters), Store(parameters["root"], parameters["link"]), parameters["version"]
    pausing, before = paused_by(member.any_patroni().config()), member.postmaster()
    if pausing == "":
        raise PostgresqlError("Patroni is paused, and not by Nodewise; nothing was changed: whoever paused it has to resume it")
    result: dict[str, Any] = {"changed": True, "version": version, "previous": store.linked(), "postmaster": before}
    since, state = parameters["since"], member.unit.loaded()
    right = settled(store, version, state) if since is None else begun_since(state, since)
    if right and pausing != member.name:
        result["changed"] = False
    elif not dry:
        _change(member, store, parameters, result)
    return {**result, "seconds": round(time.monotonic() - began, 3)}


def paused_by(config: dict[str, Any]) -> str | None:
    """Return for which member Nodewise paused the cluster; None when it is not paused, and "" when somebody else paused it."""
    if not enabled(config.get("pause")):
        return None
    return str(config.get(MARK) or "")


def missing(status: dict[str, Any], version: str) -> str:
    """Return what a member's Patroni does not show yet of what is waited for, or nothing."""
    runs, state = (status.get("patroni") or {}).get("version"), status.get("state")
    if runs != version:
        return f"Patroni says that it is {runs}, expected {version}"
    if state != "running":
        return f"its PostgreSQL is {state}, expected running"
    if status.get("role") not in ("primary", "master") and status.get("replication_state") != "streaming":
        return f"its replication is {status.get('replication_state') or 'not under way'}, expected streaming"
    return ""


def resume(member: Member) -> bool:
    """End the pause if it is ours, and see that it has ended; return whether there was one."""
    patroni = member.any_patroni()
    if not paused_by(patroni.config()):
        return False
    patroni.configure({"pause": None, MARK: None})

    def left() -> str:
        return "the cluster is still paused" if anybody(member.access, patroni.name).get("pause") else ""

    if says := wait(left, time.monotonic() + RESUME_S):
        raise PostgresqlError(f"{says} after it was resumed through {patroni.name}")
    return True


def _change(member: Member, store: Store, parameters: dict[str, Any], result: dict[str, Any]) -> None:
    version, until = parameters["version"], time.monotonic() + parameters["timeout_s"]
    leader, timeline = leader_of(anybody(member.access, member.name)), member.timeline()
    with _paused(member, until):
        moment = time.monotonic()
        since, limit = parameters["since"], parameters["timeout_s"]
        switched = switch(store, member.unit, version, limit) if since is None else restart(member.unit, since, limit)
        _wait_for(member, version, until)
        result.update(pid=switched["pid"], without_s=round(time.monotonic() - moment, 3))
        _refuse_moved(member, result["postmaster"], leader, timeline)
    result.update(leader=leader, timeline=timeline)


@contextmanager
def _paused(member: Member, until: float) -> Iterator[None]:
    """Pause the cluster for this member, and resume it on every way out but one.

    A primary that no Patroni minds stays as it is: without the pause the others would make another one beside it.
    """
    member.any_patroni().configure({"pause": True, MARK: member.name})
    try:
        if member.unit.state().active == "active":
            _wait_until_paused(member, until)
        yield
    except BaseException as error:
        left = _left_paused(member)
        if left and isinstance(error, PostgresqlError):
            raise PostgresqlError(f"{error}\n{left}") from None
        raise
    resume(member)


def _left_paused(member: Member) -> str:
    """Resume after something went wrong, where that is safe; return why the cluster is still paused, or nothing."""
    try:
        alive = member.patroni.status().get("state") == "running"
    except PostgresqlError:
        alive = False
    if not alive and member.primary() is not False and member.postmaster() is not None:
        return f"The cluster is left paused, as {member.name} is its primary and has no Patroni: start {member.unit.name} there"
    try:
        resume(member)
    except PostgresqlError as error:
        return f"The cluster is left paused: {error}"
    return ""


def _wait_until_paused(member: Member, until: float) -> None:
    """Wait until the member's own Patroni knows: one that does not takes PostgreSQL down with it when it is stopped."""

    def look() -> str:
        return "" if member.patroni.status().get("pause") else f"{member.name} does not know that the cluster is paused"

    if says := wait(look, until):
        raise PostgresqlError(f"{says}; its Patroni was not stopped")
    time.sleep(UPDATE_S)


def _wait_for(member: Member, version: str, until: float) -> None:
    since = time.time()
    if says := wait(lambda: missing(member.patroni.status(), version), until):
        words = member.unit.last_words(since, 1)
        raise PostgresqlError(f"{member.name}: {says}{'; it said last: ' + words[-1] if words else ''}")


def _refuse_moved(member: Member, postmaster: int | None, leader: str | None, timeline: int | None) -> None:
    """What must not have changed while Patroni was away."""
    now = member.postmaster()
    if postmaster is not None and now != postmaster:
        raise PostgresqlError(f"{member.name}: PostgreSQL was process {postmaster} and is {now} now: it was restarted with Patroni")
    if (on := member.timeline()) != timeline:
        raise PostgresqlError(f"{member.name} was on timeline {timeline} before Patroni was stopped there, and is on {on} now")
    leads = leader_of(anybody(member.access, member.name))
    if leads != leader:
        raise PostgresqlError(f"{leader} led before Patroni was stopped on {member.name}, and {leads or 'nobody'} does now")
