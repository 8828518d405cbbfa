# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data set of a PostgreSQL database: tables of many types, their indexes, TOAST, partitions, large objects.

What is to be found is known here before anything is written: a digest of each row by its name, counts that indexes have to give.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

USERS, ORDERS, READINGS, DOCUMENTS, ATTACHMENTS = 2000, 5000, 4000, 24, 4
LARGE = 64 * 1024  # characters of a document: beyond a page, so in TOAST
TAGS = ("red", "green", "blue", "grey")
STATES = ("new", "paid", "sent")
TICKETS = 4242

Facts = dict[str, str]
Rows = list[list[str]]

# The clients' tables stay as they are when the data set is written again.
CLIENTS = """
create schema if not exists workload;
create table if not exists workload.registers (key text primary key, value text not null);
create table if not exists workload.additions (key text not null, value text not null);
create index if not exists additions_key on workload.additions (key);
create table if not exists workload.accounts (key text primary key, balance int not null);
"""
ANEW = """
set local client_min_messages = warning;
drop table if exists workload.users, workload.orders, workload.readings, workload.documents, workload.attachments cascade;
drop type if exists workload.state;
drop sequence if exists workload.tickets;
create type workload.state as enum ('new', 'paid', 'sent');
create table workload.users (id int primary key, name text, email text unique, born date, balance numeric(12, 2), active boolean,
  tags text[], about jsonb);
create index users_lower on workload.users (lower(name));
create index users_active on workload.users (born) where active;
create index users_tags on workload.users using gin (tags);
create table workload.orders (id bigint primary key, buyer int not null references workload.users, state workload.state,
  placed timestamptz, total numeric(10, 2) check (total >= 0), note text);
create index orders_buyer on workload.orders (buyer, placed);
create table workload.readings (id int, at timestamp, value double precision, primary key (id, at)) partition by range (at);
create table workload.readings_old partition of workload.readings for values from (minvalue) to ('2024-01-01');
create table workload.readings_new partition of workload.readings for values from ('2024-01-01') to (maxvalue);
create table workload.documents (id int primary key, title text, body text);
alter table workload.documents alter body set storage external;
create table workload.attachments (id int primary key, content oid);
create sequence workload.tickets;
"""
READ = """
select 'users ' || id, md5(concat_ws('|', id, name, email, born, balance, active, tags, about)) from workload.users
union all select 'orders ' || id, md5(concat_ws('|', id, buyer, state, placed, total, note)) from workload.orders
union all select 'readings ' || id, md5(concat_ws('|', id, at, value)) from workload.readings
union all select 'documents ' || id, md5(concat_ws('|', id, title, body)) from workload.documents
union all select 'attachments ' || id, md5(lo_get(content)) from workload.attachments
union all select 'sequence tickets', last_value::text from workload.tickets
union all select 'users by tag ' || tag, (select count(*) from workload.users where tags @> array[tag])::text
  from unnest(%(tags)s::text[]) as tag
union all select 'orders of buyer 7', count(*)::text from workload.orders where buyer = 7
union all select 'active users', count(*)::text from workload.users where active and born is not null
union all select 'index ' || relname, (indisvalid and indisready)::text
  from pg_index join pg_class on pg_class.oid = indexrelid
  where relnamespace = 'workload'::regnamespace and relname ~ '^(users|orders|documents)_'
"""
INDEXES = (
    "users_pkey",
    "users_email_key",
    "users_lower",
    "users_active",
    "users_tags",
    "orders_pkey",
    "orders_buyer",
    "documents_pkey",
)


def write(connection: psycopg.Connection[Any], seed: int) -> Facts:
    """Write the data set of a seed in one transaction, in place of an earlier one; returns what is to be found."""
    rows, attachments = _rows(seed), _attachments(seed)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(CLIENTS)
        if cursor.execute("select to_regclass('workload.attachments')").fetchone() != (None,):
            cursor.execute("select lo_unlink(content) from workload.attachments")
        cursor.execute(ANEW)
        for table, lines in rows.items():
            with cursor.copy(f"copy workload.{table} from stdin") as copy:
                for line in lines:
                    copy.write_row(line)
        for number, content in enumerate(attachments):
            cursor.execute("insert into workload.attachments values (%s, lo_from_bytea(0, %s))", (number, content))
        cursor.execute("select setval('workload.tickets', %s)", (TICKETS,))
    return _facts(rows, attachments)


def read(connection: psycopg.Connection[Any]) -> Facts:
    """What is there, on the member that this connection is with."""
    connection.execute("set timezone = utc")
    connection.execute("set datestyle = iso")
    connection.execute("set enable_seqscan = off")  # counts are those of the indexes
    return dict(connection.execute(READ, {"tags": list(TAGS)}).fetchall())


def compare(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """What is missing or different, a line each."""
    for name, fact in expected.items():
        if name not in found:
            yield f"{name} is missing"
        elif found[name] != fact:
            yield f"{name} is another: {fact} was written, {found[name]} is there"
    yield from (f"{name} is there and should not be" for name in sorted(found.keys() - expected.keys()))


def _rows(seed: int) -> dict[str, Rows]:
    """The rows of each table, as PostgreSQL writes them; a table comes after those that it refers to."""
    choose = random.Random(f"data/{seed}")

    def day() -> str:
        return f"{choose.randint(1950, 2025)}-{choose.randint(1, 12):02}-{choose.randint(1, 28):02}"

    def user(n: int) -> list[str]:
        name = choose.choice(("Ada", "Çelik", "Đorđe", "Søren")) + choose.randbytes(4).hex()
        tags = "{" + ",".join(sorted(choose.sample(TAGS, choose.randint(0, 3)))) + "}"
        about = json.dumps({"n": n, "city": choose.randbytes(40).hex()})
        return [str(n), name, f"{n}@example.org", day(), f"{choose.random() * 1e6:.2f}", choose.choice("tf"), tags, about]

    def order(n: int) -> list[str]:
        note = choose.randbytes(choose.randint(0, 60)).hex()
        buyer, total = str(choose.randrange(USERS)), f"{choose.random() * 1e4:.2f}"
        return [str(n), buyer, choose.choice(STATES), f"{day()} 12:30:00+00", total, note]

    return {
        "users": [user(n) for n in range(USERS)],
        "orders": [order(n) for n in range(ORDERS)],
        "readings": [[str(n), f"{day()} 00:00:01", f"{choose.randrange(10**6) / 8:.10g}"] for n in range(READINGS)],
        "documents": [[str(n), f"document {n}", choose.randbytes(LARGE // 2).hex()] for n in range(DOCUMENTS)],
    }


def _attachments(seed: int) -> list[bytes]:
    choose = random.Random(f"attachments/{seed}")
    return [choose.randbytes(4 * LARGE) for _ in range(ATTACHMENTS)]


def _facts(rows: Mapping[str, Rows], attachments: list[bytes]) -> Facts:
    facts = {f"{table} {line[0]}": _md5("|".join(line).encode()) for table, lines in rows.items() for line in lines}
    facts |= {f"attachments {number}": _md5(content) for number, content in enumerate(attachments)}
    facts |= {f"users by tag {tag}": str(sum(tag in line[6] for line in rows["users"])) for tag in TAGS}
    facts["orders of buyer 7"] = str(sum(line[1] == "7" for line in rows["orders"]))
    facts["active users"] = str(sum(line[5] == "t" for line in rows["users"]))
    facts["sequence tickets"] = str(TICKETS)
    return facts | {f"index {name}": "true" for name in INDEXES}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
