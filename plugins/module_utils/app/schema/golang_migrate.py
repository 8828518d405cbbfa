# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""golang-migrate's versions: files such as 000002_split.up.sql; one row says how far a database came, and whether that failed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.revision import listed, option, reached, read_all

TABLE = "schema_migrations"
REVISION = "select version::text from schema_migrations where not dirty"
DIRTY = """select format('version %s failed half-way; repair the schema by hand, then: migrate force %s', version, version)
 from schema_migrations where dirty"""
GAP = "there is no SQL of it"
_NAME = re.compile(r"(\d+)_.*\.up\.sql")


def shipped(command: list[str], folder: str, _files: str) -> list[str]:
    """Return the versions that a command leads to: `goto VERSION` or `up`."""
    versions, last = list(_paths(command, folder)), _target(command)
    if last and last not in versions:
        raise DatabaseError(f"version {last} is named, and no file of the release has it")
    return [version for version in versions if not last or int(version) <= int(last)]


def ancestors(command: list[str], folder: str) -> dict[str, tuple[str, ...]]:
    """Return each version with the one before it."""
    versions = list(_paths(command, folder))
    return {version: tuple(before) for version, before in zip(versions, [[], *([one] for one in versions)])}


def applied(rows: list[str], known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return all versions that a database has, whose table names the last one alone."""
    return reached(rows, known)


def texts(_ask: Callable[[list[str]], str], command: list[str], folder: str, _files: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of what is pending."""
    return read_all(_paths(command, folder), pending)


def _target(command: list[str]) -> str:
    """Return the version that is gone to; nothing where all are."""
    asked = next((at for at, word in enumerate(command) if word in ("goto", "up")), None)
    after = command[asked + 1 :] if asked is not None else []
    if asked is None or bool(after) != (command[asked] == "goto") or not all(word.isdigit() for word in after):
        raise DatabaseError(f"{' '.join(command)}: expected 'goto VERSION' or 'up' at the end of a command of golang-migrate")
    return str(int(after[0])) if after else ""


def _paths(command: list[str], folder: str) -> dict[str, str]:
    """Return the file of each version, in order."""
    said = re.sub("^file://", "", option(command, "-path", "--path", "-source", "--source"))
    if not said:
        raise DatabaseError(f"{' '.join(command)}: expected -path FOLDER in a command of golang-migrate")
    place = os.path.join(folder, said)
    found = {int(match[1]): os.path.join(place, match.group()) for match in map(_NAME.fullmatch, listed(place)) if match}
    return {str(version): found[version] for version in sorted(found)}
