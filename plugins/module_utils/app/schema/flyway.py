# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flyway's versions: files such as V2__split.sql; its table has each, whether it succeeded, and the checksum of its file."""

from __future__ import annotations

import glob
import os
import re
import zlib
from collections.abc import Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.revision import listed, option, read_all

TABLE = "flyway_schema_history"
# A baseline stands for all before it; of one that was undone the last row says so.
REVISION = """select case when type like '%BASELINE' then '<=' else '' end || version from (
 select distinct on (version) version, type, success from flyway_schema_history where version is not null
 order by version, installed_rank desc) last where success and type not like 'UNDO%' and type <> 'DELETE'"""
DIRTY = """select format('version %s failed half-way (%s); repair the schema by hand, then: flyway repair', version, script)
 from flyway_schema_history where not success"""
SUMS = """select json_build_array(version, checksum::text) from flyway_schema_history
 where type = 'SQL' and success and checksum is not null"""
GAP = "there is no SQL of it"
_NAME = re.compile(r"V([\d._]+)__.*\.sql")


def shipped(command: list[str], folder: str, _files: str) -> list[str]:
    """Return the versions that a command leads to: `migrate`, up to -target where it is said."""
    if "migrate" not in command:
        raise DatabaseError(f"{' '.join(command)}: expected 'migrate' in a command of Flyway")
    last = option(command, "-target")
    versions = list(_paths(command, folder))
    if last in ("", "latest"):
        return versions
    if last not in versions:
        raise DatabaseError(f"version {last} is named, and no file of the release has it")
    return versions[: versions.index(last) + 1]


def ancestors(command: list[str], folder: str) -> dict[str, tuple[str, ...]]:
    """Return each version: the table names all that a database has."""
    return dict.fromkeys(_paths(command, folder), ())


def applied(rows: list[str], known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return all versions that a database has, those that a baseline stands for included."""
    found = [row for row in rows if not row.startswith("<=")]
    for base in (row[2:] for row in rows if row.startswith("<=")):
        found += [base, *(version for version in known if _order(version) <= _order(base))]
    return list(dict.fromkeys(found))


def texts(_ask: Callable[[list[str]], str], command: list[str], folder: str, _files: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of what is pending."""
    return read_all(_paths(command, folder), pending)


def sums(command: list[str], folder: str) -> dict[str, str]:
    """Return the checksum of each version's file: of its lines, in whichever way they end."""
    found = {}
    for version, text in read_all(paths := _paths(command, folder), list(paths)).items():
        total = 0
        for line in re.split(r"\r\n|\r|\n", re.sub("^\ufeff", "", text)):
            total = zlib.crc32(line.encode(), total)
        found[version] = str(total - (1 << 32) if total >= 1 << 31 else total)
    return found


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part]


def _paths(command: list[str], folder: str) -> dict[str, str]:
    """Return the file of each version, in order."""
    said = option(command, "-locations")
    if not said.startswith("filesystem:") or "," in said:
        raise DatabaseError(f"{' '.join(command)}: expected -locations=filesystem:FOLDER, one, in a command of Flyway")
    place = os.path.join(folder, said[len("filesystem:") :])
    listed(place)
    paths = sorted(glob.glob(os.path.join(place, "**", "*.sql"), recursive=True))
    found = {match[1].replace("_", "."): path for path in paths if (match := _NAME.fullmatch(os.path.basename(path)))}
    return {version: found[version] for version in sorted(found, key=_order)}
