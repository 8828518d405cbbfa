# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Liquibase's changesets, read from a release's changelogs in XML and SQL, without Liquibase; labels tell the phases."""

from __future__ import annotations

import os
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.revision import listed, option

TABLE = "databasechangelog"
REVISION = "select filename || '::' || id || '::' || author from databasechangelog where exectype <> 'FAILED'"
LOCK_TABLE = "databasechangeloglock"
LOCK = """select format('Liquibase''s lock is held by %s since %s; where nothing of it runs there: liquibase release-locks',
 lockedby, lockgranted) from databasechangeloglock where locked"""
GAP = "Liquibase printed no SQL of it"
FILE = ("--changelog-file", "--changeLogFile", "--changelogFile")
LABELS = ("--label-filter", "--labels", "--labelFilter")
CONTEXTS = ("--context-filter", "--contexts", "--contextFilter")
_SET = re.compile(r"^--\s*changeset\s+([^\s:]+):(\S+)(.*)$", re.MULTILINE | re.IGNORECASE)
_PRINTED = re.compile(r"^-- Changeset (.+)$", re.MULTILINE)


def shipped(command: list[str], folder: str, _files: str) -> list[str]:
    """Return the changesets that a command leads to: `update`, those that its label filter lets through."""
    _place(command)
    asked = option(command, *LABELS)
    if "(" in asked or option(command, *CONTEXTS):
        raise DatabaseError(
            f"{' '.join(command)}: contexts, and parentheses in --label-filter, are not read; say it by labels alone"
        )
    return [name for name, labels in _sets(command, folder) if not asked or not labels or _matches(asked, labels)]


def ancestors(command: list[str], folder: str) -> dict[str, tuple[str, ...]]:
    """Return each changeset: the table names all that a database has."""
    return {name: () for name, _labels in _sets(command, folder)}


def applied(rows: list[str], _known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return all changesets that a database has."""
    return rows


def texts(ask: Callable[[list[str]], str], command: list[str], _folder: str, _files: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of what is pending, as Liquibase prints it without a database. `ask` runs a command."""
    at = _place(command)
    asked = [word for word in [*command[:at], "update-sql", *command[at + 1 :]] if not word.startswith("--url=")]
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o777)  # noqa: S103  (the service's user notes there what would be applied, to a database that has nothing)
        url = f"offline:postgresql?changeLogFile={scratch}/applied.csv&outputLiquibaseSql=none"
        return split(ask([*asked, f"--url={url}"]), pending)


def split(text: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of each changeset, from what Liquibase printed."""
    marks = list(_PRINTED.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return {mark[1].strip(): text[mark.end() : end] for mark, end in zip(marks, ends) if mark[1].strip() in pending}


def _matches(asked: str, labels: list[str]) -> bool:
    """Return whether a filter lets labels through: `and` binds more than `or`, which a comma means; `!` and `not` negate."""

    def holds(word: str) -> bool:
        name = re.sub(r"^(!|not\s+)\s*", "", word.strip(), flags=re.IGNORECASE)
        return (name.lower() in labels) == (name == word.strip())

    either = re.split(r",|\s+or\s+", asked.strip(), flags=re.IGNORECASE)
    return any(all(map(holds, re.split(r"\s+and\s+", one, flags=re.IGNORECASE))) for one in either)


def _place(command: list[str]) -> int:
    if "update" not in command:
        raise DatabaseError(f"{' '.join(command)}: expected 'update' in a command of Liquibase")
    return command.index("update")


def _sets(command: list[str], folder: str) -> list[tuple[str, list[str]]]:
    """Return the name of each changeset as Liquibase has it, FILE::ID::AUTHOR, and its labels; in order."""
    file = option(command, *FILE)
    if not file:
        raise DatabaseError(f"{' '.join(command)}: expected --changelog-file=FILE in a command of Liquibase")
    return list(_read(os.path.join(folder, option(command, "--search-path", "--searchPath")), file, []))


def _read(root: str, file: str, labels: list[str]) -> Iterator[tuple[str, list[str]]]:
    path = os.path.join(root, file)
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from None
    if file.endswith(".sql"):
        for author, name, words in _SET.findall(text):
            said = {key.lower(): value.strip('"') for key, value in re.findall(r'(\w+):("[^"]*"|\S+)', words)}
            if _ours(said.get("dbms", "")):
                yield f"{said.get('logicalfilepath', file)}::{name}::{author}", labels + _labels(said.get("labels"))
    elif file.endswith(".xml"):
        yield from _read_xml(root, file, text, labels)
    else:
        raise DatabaseError(f"{path}: changelogs are read in XML and in SQL, not in this format")


def _read_xml(root: str, file: str, text: str, labels: list[str]) -> Iterator[tuple[str, list[str]]]:
    try:
        top = ET.fromstring(text)  # noqa: S314  (of the release itself)
    except ET.ParseError as error:
        raise DatabaseError(f"{os.path.join(root, file)}: {error}") from None
    for one in top:
        kind, said = one.tag.rpartition("}")[2], one.attrib
        own = labels + _labels(said.get("labels"))
        if kind == "changeSet" and _ours(said.get("dbms", "")):
            path = said.get("logicalFilePath") or top.attrib.get("logicalFilePath") or file
            yield f"{path}::{said['id']}::{said['author']}", own
        elif kind in ("include", "includeAll"):
            beside = os.path.dirname(file) if said.get("relativeToChangelogFile") == "true" else ""
            place = os.path.normpath(os.path.join(beside, said.get("file") or said["path"]))
            inner = [place] if kind == "include" else [os.path.join(place, name) for name in listed(os.path.join(root, place))]
            for other in inner:
                yield from _read(root, other, own)


def _labels(said: str | None) -> list[str]:
    return [label.strip().lower() for label in (said or "").split(",") if label.strip()]


def _ours(dbms: str) -> bool:
    names = [name.strip() for name in dbms.split(",") if name.strip()]
    named = [name for name in names if not name.startswith("!")]
    return "!postgresql" not in names and (not named or "postgresql" in named)
