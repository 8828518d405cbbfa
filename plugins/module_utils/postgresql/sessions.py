# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions of clients on the node's own PostgreSQL: waiting for their work to end, and ending them."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.session import Sql

INTERVAL = 0.2
IDLE = ("idle", "disabled")
_CLIENTS = (
    "backend_type = 'client backend' and pid <> pg_backend_pid() and application_name <> 'nodewise' "
    "and application_name not like 'Patroni%'"
)
# Not what they ask: that may hold a password.
_AGE = "round(extract(epoch from clock_timestamp() - coalesce(xact_start, state_change, backend_start))::numeric, 1)"
_ROW = f"""json_build_object('pid', pid, 'user', usename, 'application', application_name,
'client', coalesce(host(client_addr), 'local'), 'state', state, 'age_s', {_AGE})"""
_ALL = f"select coalesce(json_agg({_ROW} order by xact_start nulls last, pid), '[]') from pg_stat_activity where {_CLIENTS}"  # noqa: S608
NOW = "select extract(epoch from clock_timestamp())::float8"


def begun_before(moment: float) -> str:
    """The transactions that were under way at a moment (seconds since the epoch, by PostgreSQL's clock), the oldest first."""
    return f"{_ALL} and xact_start < to_timestamp({moment:.6f})"


def wait_for_transactions(sql: Sql, seconds: float) -> list[dict[str, Any]]:
    """Wait for the transactions that are under way now, not for those that begin later; returns those that did not end in time."""
    moment, until = float(sql(NOW)), time.monotonic() + seconds
    while True:
        left: list[dict[str, Any]] = sql(begun_before(moment))
        if not left or time.monotonic() >= until:
            return left
        time.sleep(INTERVAL)


def empty(sql: Sql, seconds: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """End the sessions that do nothing, again and again, and wait for the others to get there.

    A session in the middle of something has `seconds` to end it. Returns the idle ones that were ended, and those still busy.
    """
    ended: dict[int, dict[str, Any]] = {}
    until = time.monotonic() + seconds
    while True:
        found: list[dict[str, Any]] = sql(_ALL)
        idle = [one for one in found if one["state"] in IDLE]
        ended.update((one["pid"], one) for one in terminate(sql, idle, idle=True))
        if not found or time.monotonic() >= until:
            return list(ended.values()), [one for one in found if one not in idle]
        time.sleep(INTERVAL)


def terminate(sql: Sql, sessions: list[dict[str, Any]], *, idle: bool = False) -> list[dict[str, Any]]:
    """End sessions, with `idle` only those that are idle at that moment; returns those that were ended."""
    if not sessions:
        return []
    pids = ", ".join(str(int(one["pid"])) for one in sessions)
    still = " and state in ('idle', 'disabled')" if idle else ""
    gone = sql(
        "select coalesce(json_agg(pid), '[]') from (select pid, pg_terminate_backend(pid) as ended from pg_stat_activity "  # noqa: S608
        f"where {_CLIENTS} and pid in ({pids}){still}) as them where ended"
    )
    return [one for one in sessions if one["pid"] in gone]


def told(sessions: list[dict[str, Any]], most: int = 3) -> str:
    """Return who they are, the first few of them, on one line."""
    shown = [
        f"pid {one['pid']} (user {one['user']}, {one['application'] or 'no application name'}, from {one['client']}, "
        f"{one['state']} for {one['age_s']} s)"
        for one in sessions[:most]
    ]
    return ", ".join(shown) + (f" and {len(sessions) - most} more" if len(sessions) > most else "")
