# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a PostgreSQL cluster says about itself: asking every member at once, by SQL and through its Patroni. It only reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import settle
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, Member, PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.digest import Digests
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.patroni import Patroni
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.session import Sessions
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.view import (
    assemble,
    compare,
    fingerprint,
    primary_of,
    timelines_of,
)

_TRIES = 5
_PAUSE = 0.05  # seconds between two looks at a replica that is to catch up
_HISTORY = 2.0  # seconds more than Patroni's own pause that its leader may take to write the timelines down

# One statement a look. A log position is written as a number of bytes. No text of a query is read: it may hold what nobody may see.
STATUS = """
select json_build_object(
  'in_recovery', r, 'version', split_part(current_setting('server_version'), ' ', 1),
  'started', extract(epoch from pg_postmaster_start_time())::float8,
  'system_identifier', (select system_identifier::text from pg_control_system()),
  'lsn', case when not r then (pg_current_wal_lsn() - '0/0')::bigint end,
  'timeline', case when r then (select received_tli from pg_stat_wal_receiver where status = 'streaming')
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
  'history', case when has_function_privilege(to_regprocedure('nodewise.timeline_history()'), 'execute') then
    (xpath('/row/h/text()', query_to_xml('select nodewise.timeline_history() as h', true, true, '')))[1]::text end,
  'replay_lsn', case when r then (pg_last_wal_replay_lsn() - '0/0')::bigint end,
  'replay_paused', case when r then pg_is_wal_replay_paused() else false end,
  'standbys', (select coalesce(json_agg(json_build_object('name', application_name, 'state', state, 'sync_state', sync_state,
    'replay_lsn', (replay_lsn - '0/0')::bigint) order by application_name), '[]') from pg_stat_replication),
  'slots', (select coalesce(json_agg(json_build_object('name', slot_name, 'type', slot_type, 'active', active,
    'wal_status', wal_status) order by slot_name), '[]') from pg_replication_slots where not temporary),
  'archiver', (select json_build_object('mode', current_setting('archive_mode'),
    'configured', coalesce(nullif(current_setting('archive_command', true), '(disabled)'), '')
      || coalesce(current_setting('archive_library', true), '') <> '',
    'archived_wal', last_archived_wal, 'archived_s', extract(epoch from last_archived_time)::float8,
    'failed_wal', last_failed_wal, 'failed_s', extract(epoch from last_failed_time)::float8) from pg_stat_archiver),
  'prepared', (select coalesce(json_agg(json_build_object('gid', gid, 'database', database,
    'age_s', round(extract(epoch from clock_timestamp() - prepared)::numeric, 1)) order by prepared), '[]') from pg_prepared_xacts),
  'transactions', (select coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'application', application_name,
    'state', state, 'age_s', round(extract(epoch from clock_timestamp() - xact_start)::numeric, 1)) order by xact_start), '[]')
    from (select * from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
      and xact_start is not null order by xact_start limit 5) oldest),
  'sessions', (select count(*) from pg_stat_activity where backend_type = 'client backend'
    and application_name not like 'Patroni%' and application_name <> 'nodewise'),
  'data_checksums', current_setting('data_checksums') = 'on',
  'checksum_failures', case when current_setting('data_checksums') = 'on'
    then (select coalesce(sum(checksum_failures), 0)::bigint from pg_stat_database) end)
from pg_is_in_recovery() r"""


OPTIONS: dict[str, Any] = {
    "component": {"type": "str", "choices": ["postgresql", "patroni"], "default": "postgresql"},
    "long_transaction_s": {"type": "float", "default": 300.0},
    "catch_up": {"type": "float", "default": 5.0},
    "tables": {"type": "bool", "default": False},
}


def observe_after(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what a module that has changed something adds to its result: the observation, where `settled` was given."""
    return {} if parameters["settled"] is None else observe(parameters)


def observe(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what postgresql_info returns, from its module parameters."""
    observer = Observer(parameters)
    deadline = parameters["deadline"] if parameters["settled"] else 0
    try:
        observation, lacking, looks, seconds = settle(observer.look, observer.complete, parameters["settled"], deadline)
    finally:
        observer.sessions.close()
    return {"observation": observation, "missing": lacking, "polls": looks, "seconds": seconds}


class Observer:
    """Observes one cluster: the expected members, all at once."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.access = Access(parameters)
        self.component, self.long_s = parameters["component"], parameters["long_transaction_s"]
        self.catch_up = parameters["catch_up"]
        self.sessions = Sessions(self.access)
        self.digests = Digests(self.access, self.sessions, parameters["tables"])
        self._answers: dict[str, dict[str, Any]] = {}

    def look(self) -> dict[str, Any]:
        """Ask all members what changes quickly; return the observation without fingerprints."""
        known, self._answers = self._answers, self.access.each(self._ask)
        for name, found in self._answers.items():  # what changes rarely is asked again when it is complete
            found.update({key: known[name][key] for key in ("config", "denied", "history") if key in known.get(name, {})})
        if not known:
            self._ask_rarely()
        return self._seen()

    def complete(self) -> dict[str, Any]:
        """Return the last look with fingerprints, once the replicas have replayed what the primary had written when asked."""
        self._ask_rarely()
        self._timelines()
        found: dict[str, Any] = {}
        for attempt in range(_TRIES):
            self._catch_up()
            found = self._fingerprints()
            if found["errors"] or len(set(found["members"].values())) == 1:
                break
            # What was written between two members' batches makes a difference only once.
            time.sleep(_PAUSE * attempt)
        return compare(self._seen(), found)

    def _seen(self) -> dict[str, Any]:
        return assemble(self._answers, self.component, self.long_s)

    def _ask(self, member: Member) -> dict[str, Any]:
        """Return the member's raw answers as a dict, `errors` included; what was not answered is not in it."""
        patroni, answers = Patroni(self.access, member), {"errors": {}, "asked_at": time.time()}
        _put(answers, "sql", lambda: self.sessions.ask(member, STATUS))
        _put(answers, "patroni", patroni.status)
        _put(answers, "cluster", patroni.cluster)
        return answers

    def _ask_rarely(self) -> None:
        """Ask for what hardly ever changes."""

        def ask(member: Member) -> None:
            patroni, answers = Patroni(self.access, member), self._answers[member.name]
            _put(answers, "config", patroni.config)
            _put(answers, "denied", patroni.denied)

        self.access.each(ask, self._with_patroni())

    def _ask_sql(self, names: list[str]) -> None:
        def ask(member: Member) -> None:
            _put(self._answers[member.name], "sql", lambda: self.sessions.ask(member, STATUS))

        self.access.each(ask, [self.access.member(name) for name in names])

    def _timelines(self) -> None:
        """Ask Patroni for the timelines that a member cannot tell by SQL; its leader writes them down when it looks again."""
        pause = max(
            [int(found["config"].get("loop_wait") or 0) for found in self._answers.values() if "config" in found], default=0
        )
        until = time.monotonic() + pause + _HISTORY
        while True:
            late = [member for member in self._with_patroni() if timelines_of(self._answers[member.name]) is None]

            def ask(member: Member) -> None:
                _put(self._answers[member.name], "history", Patroni(self.access, member).history)

            self.access.each(ask, late)
            if time.monotonic() >= until or not any(_may_come(self._answers[member.name]) for member in late):
                return
            time.sleep(_PAUSE)

    def _with_patroni(self) -> list[Member]:
        return [member for member in self.access.members if "patroni" in self._answers[member.name]]

    def _catch_up(self) -> None:
        """Ask the primary how far it is, and then the others until they have replayed that, or have had their time."""
        primary = primary_of(self._answers)
        if primary is None:
            return
        self.digests.bound(self.access.member(primary))
        self._ask_sql([primary])
        until = time.monotonic() + self.catch_up
        behind = [name for name in self._answers if name != primary and "sql" in self._answers[name]]
        while behind:
            self._ask_sql(behind)
            behind = [name for name in behind if _behind(self._answers, name, primary)]
            if time.monotonic() >= until:
                return
            time.sleep(_PAUSE if behind else 0)

    def _fingerprints(self) -> dict[str, Any]:
        """Return {"at", "members": {name: text}, "errors": {name: why there is none}} of the members that answered."""
        primary = primary_of(self._answers)
        found: dict[str, Any] = {"at": None, "members": {}, "errors": {}}
        names = [name for name in self._answers if "sql" in self._answers[name]]
        if primary is None or "sql" not in self._answers[primary]:
            return {**found, "errors": dict.fromkeys(names, "there is no single primary to compare with")}
        found["at"] = self._answers[primary]["sql"]["lsn"]

        def make(member: Member) -> None:
            _put(found, member.name, lambda: self._fingerprint(member, primary), "members")

        self.access.each(make, [self.access.member(name) for name in names])
        return found

    def _fingerprint(self, member: Member, primary: str) -> str:
        found = self._answers[member.name]
        if _behind(self._answers, member.name, primary):
            target = self._answers[primary]["sql"]["lsn"]
            raise PostgresqlError(
                f"it has replayed up to {found['sql']['replay_lsn']} and {primary} had written {target} {self.catch_up:g} s before"
            )
        timelines = timelines_of(found)
        if timelines is None:
            raise PostgresqlError("its timeline history is unknown")
        digests, found["collations"] = self.digests.of(member, int(found["sql"]["version"].split(".")[0]))
        return fingerprint(found["sql"]["system_identifier"], found["sql"]["timeline"], timelines, digests)


def _put(answers: dict[str, Any], name: str, ask: Callable[[], Any], into: str = "") -> None:
    """Keep an answer, or why there is none."""
    place = answers[into] if into else answers
    try:
        place[name] = ask()
        answers["errors"].pop(name, None)
    except PostgresqlError as error:
        place.pop(name, None)
        answers["errors"][name] = str(error)


def _may_come(found: dict[str, Any]) -> bool:
    """Whether a member's timelines are still to be expected from Patroni's store."""
    return "history" in found and "sql" in found and found["sql"]["timeline"] is not None and timelines_of(found) is None


def _behind(answers: dict[str, dict[str, Any]], name: str, primary: str) -> bool:
    """Whether a replica has yet to replay what the primary had written; who does not answer any more is not waited for."""
    sql, target = answers[name].get("sql"), answers[primary].get("sql", {}).get("lsn")
    return sql is not None and sql["in_recovery"] and (target is None or sql["replay_lsn"] is None or sql["replay_lsn"] < target)
