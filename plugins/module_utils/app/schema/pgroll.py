# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""pgroll's migrations: expand is its start, contract its complete; files of a folder, in the order of their names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.revision import listed, read_all

TABLE = "pgroll.migrations"
# What others changed it notes by itself, as inferred; older versions of it do not have that column.
REVISION = """select one from pgroll.migrations m
 cross join unnest(case when done then array[name, name || ' complete'] else array[name] end) one
 where coalesce(to_jsonb(m) ->> 'migration_type', 'pgroll') = 'pgroll'"""
GAP = "it is no JSON"


def shipped(command: list[str], folder: str, files: str) -> list[str]:
    """Return what a command leads to: all migrations complete, and the last one only begun by `start`."""
    if ("start" in command) == ("complete" in command):
        raise DatabaseError(f"{' '.join(command)}: expected either 'start' or 'complete' in a command of pgroll")
    every = [one for name in _paths(folder, files) for one in (name, f"{name} complete")]
    return every[:-1] if "start" in command else every


def ancestors(_command: list[str], _folder: str) -> dict[str, tuple[str, ...]]:
    """Return nothing: the table names each migration that the database has."""
    return {}


def applied(rows: list[str], _known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return all migrations that a database has."""
    return rows


def texts(_ask: Callable[[list[str]], str], _command: list[str], folder: str, files: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL that is written in a migration; pgroll's own operations are made not to block, and are not linted."""
    found = {name: "" for name in pending if name.endswith(" complete")}  # it drops what pgroll kept for old members
    for name, text in read_all(_paths(folder, files), pending).items():
        try:
            operations = json.loads(text)["operations"]
        except (ValueError, KeyError, TypeError):
            continue
        found[name] = "".join(f"{one['sql'].get('up', '')};\n" for one in operations if "sql" in one)
    return found


def _paths(folder: str, files: str) -> dict[str, str]:
    """Return the file of each migration, in order."""
    place = os.path.join(folder, files)
    found = {os.path.splitext(name)[0]: os.path.join(place, name) for name in listed(place) if name.endswith((".json", ".yaml"))}
    if not found:
        raise DatabaseError(f"no migration of pgroll is in {place}")
    return found
