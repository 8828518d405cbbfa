# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sentinel rows: a word that is written through the primary and read on other members once they have replayed it."""

from __future__ import annotations

import time
import uuid
from typing import Any, NamedTuple

from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import INTERVAL
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, Member, PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.patroni import anybody, leader_of

KEPT = "30 days"  # rows are evidence for a while
_VERSION = "split_part(current_setting('server_version'), ' ', 1)"


class Row(NamedTuple):
    """One row as it was written: by whom, where, and how far the log was then."""

    id: int
    word: str
    primary: str
    version: str
    lsn: int


def write(access: Access, own: str, run: str, until: float) -> Row:
    """Write a word through whoever leads now; a leader that is changing gets until then."""
    word = uuid.uuid4().hex
    values = ", ".join(map(_text, (run, own, word)))
    statement = (
        f"with old as (delete from nodewise.sentinel where at < now() - interval '{KEPT}'), "  # noqa: S608
        f"made as (insert into nodewise.sentinel (run, node, word) values ({values}) returning id) "
        f"select json_build_object('id', id, 'version', {_VERSION}, 'lsn', (pg_current_wal_insert_lsn() - '0/0')::bigint) from made"
    )
    while True:
        try:
            primary = _primary(access, own)
            made = access.sql(primary, statement)
            return Row(made["id"], word, primary.name, made["version"], made["lsn"])
        except PostgresqlError as error:
            if time.monotonic() >= until:
                raise PostgresqlError(f"a sentinel row could not be written through the primary: {error}") from None
        time.sleep(INTERVAL)


def read(access: Access, member: Member, row: Row, until: float) -> str:
    """Read a row on a member once it has it; returns the member's version, PostgresqlError when it is not there in time."""
    statement = (
        f"select json_build_object('version', {_VERSION}, 'word', (select word from nodewise.sentinel where id = {row.id}), "  # noqa: S608
        "'lsn', (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0')::bigint)"
    )
    while True:
        try:
            found: dict[str, Any] = access.sql(member, statement)
            wrong = _wrong(row, found)
            if not wrong:
                return str(found["version"])
        except PostgresqlError as error:
            wrong = f"it does not answer: {error}"
        if time.monotonic() >= until:
            raise PostgresqlError(
                f"{member.name} does not have sentinel row {row.id}, written through {row.primary} ({row.version}): {wrong}"
            )
        time.sleep(INTERVAL)


def check_mixed_versions(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Return what the module returns, from its parameters; PostgresqlError says which member read what."""
    began = time.monotonic()
    access, until = Access(parameters), began + parameters["deadline"]
    readers = [access.member(names[0]) for names in (parameters["old"], parameters["new"]) if names]
    result: dict[str, Any] = {"changed": bool(readers) and not dry, "proved": []}
    if readers and not dry:
        row = write(access, parameters["member"], parameters["run"], until)
        for member in readers:
            if member.name != row.primary:
                version = read(access, member, row, until)
                result["proved"].append({"written": row.primary, "by": row.version, "read": member.name, "with": version})
    result["seconds"] = round(time.monotonic() - began, 3)
    return result


def _primary(access: Access, own: str) -> Member:
    name = leader_of(anybody(access, own))
    if name is None:
        raise PostgresqlError("nobody leads")
    return access.member(name)


def _wrong(row: Row, found: dict[str, Any]) -> str:
    """What is wrong with what a member has of a row, or nothing; a member that is behind may still get it."""
    if found["word"] == row.word:
        return ""
    if found["word"] is not None:
        return f"it has another word there ({found['word'][:12]}, written was {row.word[:12]})"
    return f"it has replayed up to {found['lsn']}, and the row was written at {row.lsn}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
