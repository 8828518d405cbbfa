# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for a whole PostgreSQL cluster: Patroni's settings in the store, passwords, and the role and database of Nodewise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
import unicodedata
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, Member, PostgresqlError

# What the role may do besides its own database: look at everything, end sessions, and ask for a checkpoint (from 15 on).
GRANTS = ("pg_monitor", "pg_signal_backend", "pg_read_all_data", "pg_checkpoint")
ROUNDS = 4096
PAUSE_S = 0.2
OK = 200

KNOWN = """
select json_build_object(
  'verifiers', (select coalesce(json_object_agg(rolname, coalesce(rolpassword, '')), '{{}}')
    from pg_authid where rolname in ({roles})),
  'grantable', (select json_agg(rolname) from pg_roles where rolname in ({grants})),
  'granted', (select coalesce(json_agg(g.rolname), '[]') from pg_auth_members m
    join pg_roles g on g.oid = m.roleid join pg_roles r on r.oid = m.member where r.rolname = {owner}),
  'database', exists (select from pg_database where datname = {database}))
"""
OBJECTS = """
select json_build_object(
  'sentinel', to_regclass('nodewise.sentinel') is not null,
  'history', (select prosrc from pg_proc where oid = to_regprocedure('nodewise.timeline_history()')))
"""
SENTINEL = """
create schema if not exists nodewise authorization {owner};
set role {owner};
create table if not exists nodewise.sentinel (
  id bigint generated always as identity primary key, run text, node text, word text, at timestamptz default now());
"""
# What the member's own timeline came from. Nothing else of its files is readable through it.
HISTORY = """
  select pg_read_file('pg_wal/' || upper(lpad(to_hex(line), 8, '0')) || '.history', 0, 1048576, true)
  from (select case when pg_is_in_recovery() then (select received_tli from pg_stat_get_wal_receiver())
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end as line) current """
FUNCTION = f"""
create or replace function nodewise.timeline_history() returns text
language sql stable security definer set search_path = pg_catalog as $${HISTORY}$$;
revoke execute on function nodewise.timeline_history() from public;
grant execute on function nodewise.timeline_history() to {{owner}};
"""


def setup(given: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Change what differs, when the member leads; another one leaves it to the leader. Waits for a leader, up to `deadline`."""
    access = Access(given)
    own = access.member(given["member"])
    leader, states = await_leader(access, own, 0 if dry else given["deadline"])
    if given["reload"] and not dry and states.get(own.name) in ("running", "streaming"):
        access.rest(own, "POST", "/reload")  # never while it is being made: Patroni would move files that are not there yet
    todo = [*differing(access, own, given["settings"]), *statements(access, own, given)] if leader == own.name else []
    if not dry:
        for change in todo:
            apply(access, own, change)
    return {"changed": bool(todo), "leader": leader, "changes": [change["says"] for change in todo]}


def await_leader(access: Access, own: Member, deadline: float) -> tuple[str | None, dict[str, str]]:
    """Return who leads, and the state of each member, as the member's own Patroni says."""
    until = time.monotonic() + deadline
    said = "no leader"
    while True:
        try:
            members = access.rest(own, "GET", "/cluster")[1]["members"]
            leads = [one["name"] for one in members if one["role"] in ("leader", "master") and one["state"] == "running"]
            if leads:
                return str(leads[0]), {one["name"]: one["state"] for one in members}
        except (PostgresqlError, KeyError, TypeError) as error:
            said = str(error)
        if time.monotonic() >= until:
            if not deadline:
                return None, {}
            raise PostgresqlError(
                f"Patroni of {own.name} knows no leader after {deadline:.0f} s ({said}); look at: journalctl -u patroni"
            )
        time.sleep(PAUSE_S)


def differing(access: Access, own: Member, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the change of Patroni's settings, if any is needed. Settings that are not named here are left alone."""
    status, now = access.rest(own, "GET", "/config")
    if status != OK or not isinstance(now, dict):
        raise PostgresqlError(f"Patroni of {own.name} does not say its settings ({status}: {cut(now, 80)})")
    patch = difference(settings, now)
    return [{"says": f"settings {', '.join(sorted(paths(patch)))}", "patch": patch}] if patch else []


def difference(wanted: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return what of `wanted` is not so `now`, in the shape of both."""
    patch = {}
    for name, value in wanted.items():
        has = now.get(name)
        if isinstance(value, dict):
            inner = difference(value, has if isinstance(has, dict) else {})
            if inner:
                patch[name] = inner
        elif name not in now or str(has) != str(value):  # a parameter may be told as 100 and as "100"
            patch[name] = value
    return patch


def paths(patch: dict[str, Any], above: str = "") -> list[str]:
    """Return the names of the settings in it, with those above them: `postgresql.use_slots`."""
    found: list[str] = []
    for name, value in patch.items():
        found += paths(value, f"{above}{name}.") if isinstance(value, dict) else [above + name]
    return found


def statements(access: Access, own: Member, given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be run as superuser, each with words that tell nothing secret."""
    owner, database = given["user"], given["database"]
    names = {"roles": ", ".join(map(literal, given["passwords"])), "grants": ", ".join(map(literal, GRANTS))}
    known = access.local_sql(KNOWN.format(owner=literal(owner), database=literal(database), **names), port=own.port)
    todo = [change for role, word in given["passwords"].items() for change in password(role, word, known["verifiers"])]
    grants = [name for name in GRANTS if name in known["grantable"] and name not in known["granted"]]
    if grants:
        todo.append({"says": f"{owner}: {', '.join(grants)}", "sql": f"grant {', '.join(grants)} to {identifier(owner)}"})
    if not known["database"]:
        create = f"create database {identifier(database)} owner {identifier(owner)}"
        todo.append({"says": f"database {database}", "sql": create})
    there: dict[str, Any] = {"sentinel": False, "history": None}
    if known["database"]:
        there = access.local_sql(OBJECTS, database=database, port=own.port)
    if not there["sentinel"]:
        made = SENTINEL.format(owner=identifier(owner))
        todo.append({"says": "table nodewise.sentinel", "sql": made, "database": database})
    if there["history"] != HISTORY:
        made = FUNCTION.format(owner=identifier(owner))
        todo.append({"says": "function nodewise.timeline_history", "sql": made, "database": database})
    return todo


def password(role: str, word: str, verifiers: dict[str, str]) -> list[dict[str, Any]]:
    """Return the statement that gives a role its password, or makes it; the server never sees the password."""
    if role in verifiers and verified(verifiers[role], word):
        return []
    verb = "alter" if role in verifiers else "create"
    return [{"says": f"role {role}", "sql": f"{verb} role {identifier(role)} login password {literal(verifier(word))}"}]


def apply(access: Access, own: Member, change: dict[str, Any]) -> None:
    """Make one change."""
    if "patch" not in change:
        access.local_sql(change["sql"], timeout=30, database=change.get("database", "postgres"), port=own.port)
        return
    status, said = access.rest(own, "PATCH", "/config", change["patch"], timeout=10)
    if status != OK:
        raise PostgresqlError(f"Patroni of {own.name} does not take {change['says']} ({status}: {cut(json.dumps(said), 120)})")


def verifier(word: str, salt: bytes | None = None, rounds: int = ROUNDS) -> str:
    """Return what PostgreSQL keeps of a password (SCRAM-SHA-256)."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", unicodedata.normalize("NFKC", word).encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${rounds}:{_text(salt)}${_text(stored)}:{_text(server)}"


def verified(kept: str, word: str) -> bool:
    """Return whether it is the verifier of this password."""
    try:
        _method, measure, _keys = kept.split("$")
        rounds, salt = measure.split(":")
        return hmac.compare_digest(kept, verifier(word, base64.b64decode(salt), int(rounds)))
    except ValueError:
        return False  # of another kind, or none


def literal(text: str) -> str:
    """Quote a text for SQL, where standard_conforming_strings is on."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
