# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Patroni is asked and told through its REST API, and how what it says is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, Member, PostgresqlError

INTERVAL = 0.1  # seconds between two looks; an answer costs Patroni some milliseconds and a look into its store
OK, ACCEPTED, EMPTY = 200, 202, 400
NO_CHANGE: dict[str, Any] = {"nodewise_wake": None}  # takes a key away that is not there
MARK = "nodewise_paused"  # key of the dynamic configuration: the member for which Nodewise paused the cluster
LEADS = ("leader", "master", "primary")
SYNCHRONOUS = ("sync_standby", "quorum_standby")
# What a PostgreSQL says itself: the timeline that it writes or receives (null when it does neither), and how far it is.
STANDING = """select json_build_object('recovery', pg_is_in_recovery(), 'timeline', case when pg_is_in_recovery()
then (select received_tli from pg_stat_wal_receiver)
else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end,
'lsn', (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end - '0/0')::bigint)"""


class Patroni:
    """The Patroni of one member."""

    def __init__(self, access: Access, member: Member) -> None:
        self.name = member.name
        self._access, self._member = access, member

    def status(self, timeout: float | None = None) -> dict[str, Any]:
        """Return what it says of its own member; it answers while PostgreSQL is down, too."""
        return self._object("/patroni", timeout)

    def cluster(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the whole cluster as it is in Patroni's store."""
        return self._object("/cluster", timeout)

    def config(self) -> dict[str, Any]:
        """Return the dynamic configuration, which all members share."""
        return self._object("/config", None)

    def history(self) -> list[list[Any]]:
        """Return the timelines that came before the one that runs, oldest first: [number, position where it ended, ...]."""
        status, said = self._access.rest(self._member, "GET", "/history")
        if not isinstance(said, list):
            raise PostgresqlError(f"/history of {self.name}: expected a JSON list, found {status} {cut(said, 60)!r}")
        return said

    def configure(self, change: dict[str, Any]) -> dict[str, Any]:
        """Change the dynamic configuration (None takes a key away), and return it. The member looks at the cluster at once."""
        return dict(self._expect("PATCH", "/config", change, OK))

    def reload(self) -> None:
        """Have it read its files now. By itself it would get to that after `loop_wait` seconds."""
        self._expect("POST", "/reload", {}, ACCEPTED)
        self.configure(NO_CHANGE)

    def denied(self) -> str:
        """Return why it takes no changes from us, nothing where it does: it is asked for a change that changes nothing."""
        status, said = self._access.rest(self._member, "PATCH", "/config", {})
        return "" if status == EMPTY else cut(f"{status} {said}".strip(), 100)

    def answers(self, path: str) -> int:
        """Return the status that a path is answered with: how a load balancer asks."""
        return self._access.rest(self._member, "GET", path)[0]

    def _object(self, path: str, timeout: float | None) -> dict[str, Any]:
        status, said = self._access.rest(self._member, "GET", path, None, timeout)
        if not isinstance(said, dict):
            raise PostgresqlError(f"{path} of {self.name}: expected a JSON object, found {status} {cut(said, 60)!r}")
        return said

    def _expect(self, method: str, path: str, body: dict[str, Any], wanted: int) -> Any:
        status, said = self._access.rest(self._member, method, path, body)
        if status != wanted:
            raise PostgresqlError(f"{method} {path} of {self.name} was answered {status} {cut(said, 100)}".rstrip())
        return said


def anybody(access: Access, first: str) -> dict[str, Any]:
    """Return `/cluster` as the first member that answers has it, `first` before the others; PostgresqlError when none does."""
    errors = []
    for member in sorted(access.members, key=lambda one: one.name != first):
        try:
            return Patroni(access, member).cluster()
        except PostgresqlError as error:
            errors.append(f"{member.name}: {error}")
    raise PostgresqlError(f"no Patroni answers: {'; '.join(errors)}")


def leader_of(cluster: dict[str, Any]) -> str | None:
    """Return the name of the member that `/cluster` has as the leader, None when it has none."""
    return next((str(one["name"]) for one in cluster.get("members", []) if one.get("role") in LEADS), None)


def member_of(cluster: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what `/cluster` has of a member, {} when it has nothing."""
    return next((one for one in cluster.get("members", []) if one.get("name") == name), {})


def tags_of(status: dict[str, Any]) -> dict[str, Any]:
    """Return the tags of what a member says of itself, or of what `/cluster` has of it."""
    return dict(status.get("tags") or {})


def enabled(value: Any) -> bool:
    """Whether a switch of the dynamic configuration is on. Patroni's `check_mode`: "off" is not on, nor is an unknown word."""
    return str(value).lower() in ("on", "true", "yes", "1")


def barred(tags: dict[str, Any]) -> str:
    """Return the tag by which a member may not take over, by Patroni's own rule; nothing where none is.

    `nofailover` decides where it is there, else a `failover_priority` that is not above 0.
    """
    if tags.get("nofailover") is not None:
        return "nofailover" if tags["nofailover"] else ""
    try:
        priority = round(float(str(tags.get("failover_priority"))))
    except ValueError:
        return ""
    return "" if priority > 0 else f"failover_priority {priority}"


def wait(look: Callable[[], str], until: float, interval: float = INTERVAL) -> str:
    """Look until nothing is missing or until a moment (monotonic); returns what is still missing.

    What cannot be asked is missing, too: a member that restarts gets its time.
    """
    while True:
        try:
            missing = look()
        except PostgresqlError as error:
            missing = str(error)
        if not missing or time.monotonic() >= until:
            return missing
        time.sleep(interval)
