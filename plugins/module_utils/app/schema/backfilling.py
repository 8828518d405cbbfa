# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backfill, as a unit of a node runs it: chunk by chunk, each in one transaction with how far it came.

It outlives whoever began it, and may be killed at any moment: what a chunk changed and that it was done are one commit.
A database that fails over meanwhile is waited for.
What it is asked for (`run`, `pause`, `cancel`, another rate) stands in the database: any controller can ask, through any node.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.lease import hold
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Gone, Session, literal

LOOK_S = 0.5  # seconds between two looks at the replicas
TOLD_S = 5.0  # seconds between two lines of progress in the unit's log
CHUNK_MOST_S = 600.0  # after which the database is taken for gone
CHUNK_S = 1.0  # a chunk that takes longer is halved, as others wait for its rows
GONE_S = 120.0  # seconds that a database may be gone, as in a failover
AGAIN_S = 1.0  # seconds between two tries to reach it
TABLE = """create schema if not exists nodewise;
create table if not exists nodewise.backfill (id text primary key, service text not null, about json not null, last text,
 rows bigint not null default 0, scanned bigint not null default 0, chunks bigint not null default 0, total bigint,
 asked text not null default 'run', state text not null default 'run', rate double precision,
 begun timestamptz not null default now(), changed timestamptz not null default now(), done timestamptz)"""
BEGIN = """insert into nodewise.backfill (id, service, about, total) select {id}, {service}, {about}::json,
 case when reltuples > 0 then reltuples::bigint else (select count(*) from {table}) end
 from pg_class where oid = {table_name}::regclass on conflict do nothing"""
TYPE = """select to_json(format_type(atttypid, atttypmod)) from pg_attribute where attrelid = {table_name}::regclass
 and attname = {key_name} and not attisdropped"""
SEEN = "'last', last, 'done', done is not null, 'asked', asked, 'rate', rate"
AT = f"select json_build_object({SEEN}) from nodewise.backfill where id = {{id}}"  # noqa: S608  (names of ours)
STATE = "update nodewise.backfill set state = {state} where id = {id} and state != {state}"
# The key is looked for from a constant, so that an index is used; what another run did since is seen, and then nothing is changed.
CHUNK = """with chunk as materialized (select count(*) as n, (array_agg(k))[count(*)] as upto from (select {key} as k from {table}
  where {beyond} exists (select from nodewise.backfill where id = {id} and done is null and last is not distinct from {last})
  order by {key} limit {size}) keys),
 filled as (update {table} t set {set} from chunk where {after} t.{key} <= chunk.upto{where} returning 1)
 update nodewise.backfill set last = coalesce(chunk.upto::text, last), rows = rows + (select count(*) from filled),
 scanned = scanned + chunk.n, chunks = chunks + 1, changed = now(), done = case when chunk.n < {size} then now() end
 from chunk where id = {id} and done is null and last is not distinct from {last}
 returning json_build_object({seen}, 'rows', rows, 'scanned', scanned, 'total', total)"""
# Without pg_monitor all of a replica is null, which is not that it is not behind.
LAG = """select to_json(case when not coalesce(bool_or(state is null), false) then coalesce(max(extract(epoch from replay_lag)), 0)
 end) from pg_stat_replication"""


def fill(session: Session, about: dict[str, Any]) -> dict[str, Any]:
    """Fill what is left, unless it is cancelled, and return rows and scanned. DatabaseError ends it; begun again it goes on."""
    words = _words(about)
    session.ask(TABLE)
    session.ask(BEGIN.format(**words), 600)
    words["kind"] = session.ask(TYPE.format(**words))
    if words["kind"] is None:
        raise DatabaseError(f"{about['table']} has no column {about['key']}")
    at, size = session.ask(AT.format(**words)), about["chunk"]
    state, behind, looked, told = "", 0.0, 0.0, time.monotonic()
    while not at["done"] and state != "cancel":
        if time.monotonic() - looked > LOOK_S:
            behind, looked = _behind(session), time.monotonic()
        before, state = state, _wanted(about, at["asked"], behind)
        if state != before:
            session.ask(STATE.format(**words, state=literal(state)))
        at, size = _chunk(session, about, words, at, size) if state == "run" else (_rest(session, words), size)
        if time.monotonic() - told > TOLD_S or at["done"]:
            sys.stdout.write(json.dumps(at) + "\n")
            sys.stdout.flush()
            told = time.monotonic()
    return dict(at)


def _chunk(session: Session, about: dict[str, Any], words: dict[str, str], at: dict[str, Any], size: int) -> tuple[Any, int]:
    """Fill the next chunk, no quicker than asked, and return how far it came, and the size of the next one."""
    last = "null" if at["last"] is None else literal(at["last"])
    beyond = "" if at["last"] is None else f"{words['key']} > {last}::{words['kind']} and"
    after = f"t.{beyond}" if beyond else ""
    began = time.monotonic()
    chunk = CHUNK.format(**words, size=size, last=last, beyond=beyond, after=after)
    at = session.ask(chunk, CHUNK_MOST_S) or session.ask(AT.format(**words))
    took, rate = time.monotonic() - began, at["rate"] or about["rate"]
    if rate:
        time.sleep(max(0.0, size / rate - took))
    return at, max(1, size // 2) if took > CHUNK_S else min(about["chunk"], size * 2)


def _rest(session: Session, words: dict[str, str]) -> Any:
    """Wait a moment, and return what is asked for then."""
    time.sleep(LOOK_S)
    return session.ask(AT.format(**words))


def _wanted(about: dict[str, Any], asked: str, behind: float) -> str:
    """Return what to be in now: what was asked for, or why it waits although it was asked to run."""
    if asked == "run" and not within(about["hours"], time.strftime("%H:%M")):
        return "hours"
    return "replicas" if asked == "run" and behind > about["max_lag"] else asked


def within(hours: str, now: str) -> bool:
    """Return whether a time of day (`HH:MM`) is in hours such as `22:00-06:00`; without any all are."""
    begin, _sep, end = hours.partition("-")
    return begin <= now < end if begin < end else now >= begin or now < end


def _words(about: dict[str, Any]) -> dict[str, str]:
    """What the statements are filled in with: names as the user wrote them, texts quoted."""
    return {
        "id": literal(about["id"]),
        "seen": SEEN,
        "service": literal(about["service"]),
        "about": literal(json.dumps({key: about[key] for key in ("table", "key", "set", "where")})),
        "table": about["table"],
        "table_name": literal(about["table"]),
        "key": about["key"],
        "key_name": literal(about["key"].strip('"')),
        "set": ", ".join(f"{column} = {value}" for column, value in about["set"].items()),
        "where": f" and ({about['where']})" if about["where"] else "",
    }


def _behind(session: Session) -> float:
    """Return how many seconds the replica is behind that is furthest behind."""
    behind = session.ask(LAG)
    if behind is None:
        raise DatabaseError("how far replicas are behind is not shown to this user; grant it pg_monitor")
    return float(behind)


def patiently(act: Callable[[Session], Any], database: str, password: str, application: str) -> Any:
    """Return what `act` returns of a session; with another session where that is lost, until the database is gone for too long."""
    until = None
    while True:
        try:
            with Session(database, password, application) as session:
                session.ask("select 1")
                until = None
                return act(session)
        except Gone:
            until = until or time.monotonic() + GONE_S
            if time.monotonic() > until:
                raise
            time.sleep(AGAIN_S)


def main() -> None:
    """Fill as the file says that is the first argument; the password is in the environment."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        given = json.load(stream)

    def act(session: Session) -> None:
        hold(session)
        fill(session, given)

    try:
        patiently(act, given["database"], os.environ.get("PGPASSWORD", ""), f"nodewise {given['service']} backfill")
    except DatabaseError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
