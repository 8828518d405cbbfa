# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a database says of its schema, held against what each release on the node ships."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.asking import Unanswered, ask
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import (
    alembic,
    backfilling,
    django,
    flyway,
    golang_migrate,
    liquibase,
    pgroll,
    sqitch,
    sql,
    trouble,
)
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session, literal
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import Store

TOOLS: dict[str, Any] = {
    "alembic": alembic,
    "django": django,
    "flyway": flyway,
    "golang-migrate": golang_migrate,
    "liquibase": liquibase,
    "pgroll": pgroll,
    "sql": sql,
    "sqitch": sqitch,
}
KEYS = (
    *(
        "revisions",
        "expanded",
        "contracted",
        "outgrown",
        "unread",
        "behind",
        "unproven",
        "readable",
        "fingerprint",
        "invalid_indexes",
        "dirty",
        "locked",
        "changed",
    ),
    *("undeclared", "logical", "replicas", "waiting", "backfill", "checked", "error"),
)
REPLAY_S = 2.0  # seconds that replicas may take to replay what was written until now
OURS = "nodewise"  # how the application_name of our own sessions begins, and the schema of our own table
_OWN = r"'^pg_|^information_schema$|^nodewise$'"
CHECK_S = 600.0
CHECK = "select to_json(coalesce(({})::boolean, false))"
PRINT = rf"""select to_json(md5(coalesce(string_agg(line, chr(10) order by line collate "C"), ''))) from (
 select format('%s.%s.%s %s %s %s', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid)) as line from pg_attribute a join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ {_OWN}
 union all select pg_get_indexdef(i.indexrelid) || i.indisvalid from pg_index i join pg_class c on c.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ {_OWN}
 union all select format('%s %s %s %s', n.nspname, r.conname, r.conrelid::regclass, pg_get_constraintdef(r.oid))
  from pg_constraint r join pg_namespace n on n.oid = r.connamespace where n.nspname !~ {_OWN}
 union all select pg_get_triggerdef(t.oid) from pg_trigger t where not t.tgisinternal) lines"""  # noqa: S608  (names of ours)
INVALID = """select coalesce(json_agg(indexrelid::regclass::text order by 1), '[]') from pg_index
 where not indisvalid and not exists (select from pg_stat_progress_create_index p where p.index_relid = indexrelid)"""
# Without pg_monitor what sort of session another user's is, and from where, is null: it is a session all the same.
SESSIONS = f"""select coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'application', application_name,
 'address', host(client_addr),
 'own', usename = current_user, 'age_s', round(extract(epoch from now() - backend_start)))), '[]') from pg_stat_activity
 where datname = current_database() and pid != pg_backend_pid()
 and (backend_type = 'client backend' or (backend_type is null and usename is not null)) and application_name not like '{OURS} %'"""  # noqa: S608  (a word of ours)
REPLICAS = """select coalesce(json_agg(json_build_object('name', application_name, 'behind', pg_wal_lsn_diff({}, replay_lsn))),
 '[]') from pg_stat_replication"""
# Changes of a schema are not replicated: what subscribes stops at the first row that it has no column for.
LOGICAL = """select coalesce(json_agg(name order by name), '[]') from (
 select 'slot ' || slot_name as name from pg_replication_slots where slot_type = 'logical' and database = current_database()
 union all select 'subscription ' || subname from pg_subscription s join pg_database d on d.oid = s.subdbid
 where d.datname = current_database()) names"""
BACKFILL = """select to_json(b) from (select id, about->>'table' as table, rows, scanned, chunks, total, begun, changed, done,
 asked, state, rate as most, exists(select from pg_stat_activity where application_name = {}) as running,
 round(scanned / greatest(extract(epoch from coalesce(done, changed) - begun), 0.001)) as rate,
 greatest(total - scanned, 0) as left from nodewise.backfill where id = {}) b"""


def state(given: dict[str, Any]) -> dict[str, Any]:
    """Return what gates ask of a schema; what could not be read is null, with an error.

    `expanded` and `contracted` are the releases on this node whose revisions the database has all, `outgrown` those that need a
    shape which is gone, `behind` those that do not ship all that the database has, and `unproven` those of them of which the user's
    own question does not say that they can read every row.
    """
    found: dict[str, Any] = dict.fromkeys(KEYS)
    try:
        with Session(given["database"], given["password"], f"{OURS} {given['service']} observe") as session:
            found.update(_asked(session, given))
    except DatabaseError as error:
        found["error"] = f"{given['service']}'s database: {error}"
    return found


def _asked(session: Session, given: dict[str, Any]) -> dict[str, Any]:
    rows = revisions(session, given)
    fill = backfilled(session, given) if given["backfill"] else None
    if fill and not fill["done"]:
        fill["lag"] = session.ask(backfilling.LAG)
    held = held_against(given, rows)
    asked = given["readable"].rstrip("; ") if set(held["behind"]) - set(held["outgrown"]) else ""  # of a shape that is there still
    readable = bool(session.ask(CHECK.format(asked), CHECK_S)) if asked else None
    tool = TOOLS[given["tool"]]
    return {
        "revisions": rows,
        **held,
        "readable": readable,
        # Older releases that nobody knows to read what newer ones wrote.
        "unproven": [] if readable else held["behind"],
        "logical": session.ask(LOGICAL),
        "fingerprint": session.ask(PRINT),
        "invalid_indexes": session.ask(INVALID),
        "dirty": trouble.dirty(session, tool),
        "locked": trouble.locked(session, tool),
        "changed": changed(session, given, list(set(Store(given["root"]).staged()) - set(held["unread"]))),
        "undeclared": undeclared(session, given),
        "replicas": replayed(session),
        "waiting": waiting(given),
        "backfill": fill,
        # Before that it may be about columns that are not there yet.
        "checked": checked(session, given) if fill and fill["done"] else None,
    }


def checked(session: Session, given: dict[str, Any]) -> bool:
    """Return what the user's own question says of the backfill; without one nothing is wrong."""
    return not given["check"] or bool(session.ask(CHECK.format(given["check"].rstrip("; ")), CHECK_S))


def revisions(session: Session, given: dict[str, Any]) -> list[str]:
    """Return the revisions that the database says it has."""
    asked, tool = given["revision"].rstrip("; "), TOOLS[given["tool"]]
    if not asked and session.ask(f"select to_json(to_regclass('{tool.TABLE}') is null)"):
        return []
    rows = session.ask(f"select coalesce(json_agg(r), '[]') from ({asked or tool.REVISION}) as x(r)")  # noqa: S608  (the user's own)
    return sorted(map(str, rows))


def held_against(given: dict[str, Any], rows: list[str]) -> dict[str, Any]:
    """Return the releases on the node by what the database has of their revisions, and why one could not be read."""
    has: dict[str, dict[str, list[str]]] = {}
    unread: dict[str, str] = {}
    known: dict[str, tuple[str, ...]] = {}
    every: dict[str, set[str]] = {}
    for version in Store(given["root"]).staged():
        every[version] = set()
        try:
            own = ancestors(given, version)
            known.update(own)
            every[version] |= set(own)
            has[version] = {phase: shipped(given, phase, version) for phase in ("expand", "contract")}
            every[version] |= {name for names in has[version].values() for name in names}
        except DatabaseError as error:  # it may be from before there was a schema, or the commands mean what it does not ship
            unread[version] = str(error)
    there = set(TOOLS[given["tool"]].applied(rows, known))
    dropped = {name for one in has.values() for name in set(one["contract"]) - set(one["expand"])} & there
    return {
        "expanded": [version for version, one in has.items() if set(one["expand"]) <= there],
        "contracted": [version for version in has if every[version] <= there],
        "outgrown": [version for version, own in every.items() if dropped - own],
        "behind": [version for version, own in every.items() if there - own],
        "unread": unread,
    }


def changed(session: Session, given: dict[str, Any], versions: list[str]) -> dict[str, list[str]]:
    """Return the releases that ship a file which is not the one that was applied, each with its migrations."""
    tool, found = TOOLS[given["tool"]], {}
    known = trouble.sums(session, tool)
    for version in versions:
        names = trouble.changed(known, tool, filled(given["read_as"]["expand"], given, version), files_of(given, version))
        found.update({version: names} if names else {})
    return found


def refuse_trouble(session: Session, given: dict[str, Any], version: str) -> None:
    """Raise DatabaseError where an earlier try left something, or the release ships another file than was applied."""
    trouble.refuse(session, TOOLS[given["tool"]])
    for names in changed(session, given, [version]).values():
        raise DatabaseError(
            f"{', '.join(names)} was applied, and {version} ships another file of that name; "
            "ship the one that was applied, and what is new as a migration of its own"
        )


def shipped(given: dict[str, Any], phase: str, version: str) -> list[str]:
    """Return the revisions that a release ships for a phase, in order; none for one that the service does not have."""
    command = given["read_as"].get(phase)
    folder = files_of(given, version)
    if not command:
        return []
    return list(TOOLS[given["tool"]].shipped(filled(command, given, version), folder, files(given, phase, version)))


def ancestors(given: dict[str, Any], version: str) -> dict[str, tuple[str, ...]]:
    """Return each revision of a release with those before it, where the tool knows that."""
    command = filled(given["read_as"]["expand"], given, version)
    return dict(TOOLS[given["tool"]].ancestors(command, files_of(given, version)))


def files_of(given: dict[str, Any], version: str) -> str:
    """Return the folder of a release's unpacked files, in which commands are run."""
    return os.path.join(Store(given["root"]).path(version), "files")


def files(given: dict[str, Any], phase: str, version: str) -> str:
    """Return the folder with a phase's files; that of expand where contract has none of its own."""
    return filled([(given["post_folder"] if phase == "contract" else "") or given["folder"]], given, version)[0]


def filled(words: list[str], given: dict[str, Any], version: str) -> list[str]:
    """Return words with {release}, {bin} and {database} filled in for a version."""
    folder = Store(given["root"]).path(version)
    places = {"{release}": folder, "{bin}": os.path.join(folder, "bin"), "{database}": given["database"]}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    return words


def undeclared(session: Session, given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sessions that are neither a member's own, as the same user of the database, nor a declared consumer's."""
    own = {member["address"] for member in given["members"]}
    strange = [one for one in session.ask(SESSIONS) if not (one.pop("own") and one["address"] in own)]
    return [one for one in strange if not _declared(one, given["consumers"])]


def _declared(one: dict[str, Any], consumers: list[dict[str, str]]) -> bool:
    return any(
        one["user"] == of["user"] if of["user"] else (one["application"] or "").startswith(of["application"]) for of in consumers
    )


def waiting(given: dict[str, Any]) -> list[str]:
    """Return the consumers that may need the old shape, with why: one that does not answer may."""
    found = []
    for one in given["consumers"]:
        for question in one["until"]:
            try:
                ask(question, {"name": one["name"], "address": "127.0.0.1"}, {})
            except Unanswered as error:
                found.append(f"{one['name']}: {error}")
    return found


def replayed(session: Session) -> list[dict[str, Any]]:
    """Return the replicas that have not replayed, after a moment, what was written until now: `behind` in bytes, or null."""
    if session.ask("select to_json(pg_is_in_recovery())"):
        raise DatabaseError("this is a replica; name the primary, such as with target_session_attrs=read-write")
    until, now = time.monotonic() + REPLAY_S, session.ask("select to_json(pg_current_wal_lsn())")
    while True:
        replicas = session.ask(REPLICAS.format(f"{literal(now)}::pg_lsn"))
        left = [one for one in replicas if one["behind"] is None or one["behind"] > 0]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.02)


def application(given: dict[str, Any]) -> str:
    """Return by which name the session of a service's backfill is told."""
    return f"{OURS} {given['service']} backfill"


def backfilled(session: Session, given: dict[str, Any]) -> dict[str, Any] | None:
    """Return how far the backfill came; null before it began.

    `rate` is rows/s that were looked at until now, `most` the rate that was asked for, `running` whether its session is there.
    """
    if session.ask("select to_json(to_regclass('nodewise.backfill') is null)"):
        return None
    found: dict[str, Any] | None = session.ask(BACKFILL.format(literal(application(given)), literal(given["backfill"]["id"])))
    return found
