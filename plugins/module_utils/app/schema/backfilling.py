# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backfill, as a unit of a node runs it: chunk by chunk, each in one transaction with how far it came.

It outlives whoever began it, and may be killed at any moment: what a chunk changed and that it was done are one commit.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.lease import hold
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session, literal

LOOK_S = 0.5  # seconds between two looks at the replicas
TOLD_S = 5.0  # seconds between two lines of progress in the unit's log
CHUNK_MOST_S = 600.0  # after which the database is taken for gone
CHUNK_S = 1.0  # a chunk that takes longer is halved, as others wait for its rows
TABLE = """create schema if not exists nodewise;
create table if not exists nodewise.backfill (id text primary key, service text not null, about json not null, last text,
 rows bigint not null default 0, scanned bigint not null default 0, chunks bigint not null default 0, total bigint,
 begun timestamptz not null default now(), changed timestamptz not null default now(), done timestamptz)"""
BEGIN = """insert into nodewise.backfill (id, service, about, total) select {id}, {service}, {about}::json,
 case when reltuples > 0 then reltuples::bigint else (select count(*) from {table}) end
 from pg_class where oid = {table_name}::regclass on conflict do nothing"""
TYPE = """select to_json(format_type(atttypid, atttypmod)) from pg_attribute where attrelid = {table_name}::regclass
 and attname = {key_name} and not attisdropped"""
AT = "select json_build_object('last', last, 'done', done is not null) from nodewise.backfill where id = {id}"
# The key is looked for from a constant, so that an index is used; what another run did since is seen, and then nothing is changed.
CHUNK = """with chunk as materialized (select count(*) as n, (array_agg(k))[count(*)] as upto from (select {key} as k from {table}
  where {beyond} exists (select from nodewise.backfill where id = {id} and done is null and last is not distinct from {last})
  order by {key} limit {size}) keys),
 filled as (update {table} t set {set} from chunk where {after} t.{key} <= chunk.upto{where} returning 1)
 update nodewise.backfill set last = coalesce(chunk.upto::text, last), rows = rows + (select count(*) from filled),
 scanned = scanned + chunk.n, chunks = chunks + 1, changed = now(), done = case when chunk.n < {size} then now() end
 from chunk where id = {id} and done is null and last is not distinct from {last}
 returning json_build_object('last', last, 'done', done is not null, 'rows', rows, 'scanned', scanned, 'total', total)"""
# Without pg_monitor all of a replica is null, which is not that it is not behind.
LAG = """select to_json(case when not coalesce(bool_or(state is null), false) then coalesce(max(extract(epoch from replay_lag)), 0)
 end) from pg_stat_replication"""


def fill(session: Session, about: dict[str, Any]) -> dict[str, Any]:
    """Fill what is left, and return rows and scanned. DatabaseError ends it, and it can be begun again where it was."""
    words = _words(about)
    session.ask(TABLE)
    session.ask(BEGIN.format(**words), 600)
    kind = session.ask(TYPE.format(**words))
    if kind is None:
        raise DatabaseError(f"{about['table']} has no column {about['key']}")
    at, size = session.ask(AT.format(**words)), about["chunk"]
    looked, told = 0.0, time.monotonic()
    while not at["done"]:
        began = time.monotonic()
        if began - looked > LOOK_S:
            _wait_for_replicas(session, about["max_lag"])
            looked = time.monotonic()
        last = "null" if at["last"] is None else literal(at["last"])
        beyond = "" if at["last"] is None else f"{words['key']} > {last}::{kind} and"
        after = f"t.{beyond}" if beyond else ""
        began = time.monotonic()
        chunk = CHUNK.format(**words, size=size, last=last, beyond=beyond, after=after)
        at = session.ask(chunk, CHUNK_MOST_S) or session.ask(AT.format(**words))
        took = time.monotonic() - began
        size = max(1, size // 2) if took > CHUNK_S else min(about["chunk"], size * 2)
        if about["rate"]:
            time.sleep(max(0.0, size / about["rate"] - took))
        if time.monotonic() - told > TOLD_S or at["done"]:
            sys.stdout.write(json.dumps(at) + "\n")
            sys.stdout.flush()
            told = time.monotonic()
    return dict(at)


def _words(about: dict[str, Any]) -> dict[str, str]:
    """What the statements are filled in with: names as the user wrote them, texts quoted."""
    return {
        "id": literal(about["id"]),
        "service": literal(about["service"]),
        "about": literal(json.dumps({key: about[key] for key in ("table", "key", "set", "where")})),
        "table": about["table"],
        "table_name": literal(about["table"]),
        "key": about["key"],
        "key_name": literal(about["key"].strip('"')),
        "set": ", ".join(f"{column} = {value}" for column, value in about["set"].items()),
        "where": f" and ({about['where']})" if about["where"] else "",
    }


def _wait_for_replicas(session: Session, most: float) -> None:
    while (behind := session.ask(LAG)) is None or behind > most:
        if behind is None:
            raise DatabaseError("how far replicas are behind is not shown to this user; grant it pg_monitor")
        time.sleep(LOOK_S)


def main() -> None:
    """Fill as the file says that is the first argument; the password is in the environment."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        given = json.load(stream)
    try:
        with Session(given["database"], os.environ.get("PGPASSWORD", ""), f"nodewise {given['service']} backfill") as session:
            hold(session)
            fill(session, given)
    except DatabaseError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
