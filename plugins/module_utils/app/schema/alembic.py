# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alembic's revisions, read from the files that a release ships, without Alembic: what its own check says is not believed."""

from __future__ import annotations

import ast
import configparser
import glob
import os
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.revision import Revision, closure, reached

NAMES = ("revision", "down_revision", "depends_on", "branch_labels")
TABLE = "alembic_version"
REVISION = "select version_num from alembic_version"
GAP = "Alembic printed no SQL of it"
RUNNING = re.compile(r"^-- Running upgrade (.*) -> (\S+?)$", re.MULTILINE)


def shipped(command: list[str], folder: str, _files: str) -> list[str]:
    """Return what a command leads to: its target and all that comes before it, in order."""
    known = revisions(_location(command, folder))
    return closure(known, _targets(known, _target(command)))


def ancestors(command: list[str], folder: str) -> dict[str, tuple[str, ...]]:
    """Return each revision that a release ships, with those before it."""
    return {one.name: one.after for one in revisions(_location(command, folder)).values()}


def applied(rows: list[str], known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return all revisions that a database has, whose table names the last of each branch alone."""
    return reached(rows, known)


def texts(ask: Callable[[list[str]], str], command: list[str], folder: str, _files: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of what is pending, as Alembic prints it without a database. `ask` runs a command, or raises DatabaseError."""
    return split(ask(offline(command, folder, pending)), pending)


def offline(command: list[str], folder: str, pending: list[str]) -> list[str]:
    """Return the command that prints the SQL of what is pending. DatabaseError where Alembic cannot be asked for that."""
    known = revisions(_location(command, folder))
    starts = sorted({before for name in pending for before in known[name].down} - set(pending))
    if len(starts) > 1:
        raise DatabaseError(f"Alembic prints SQL from one revision on, and here are {', '.join(starts)}")
    at, target = _place(command), _target(command)
    return [*command[:at], f"{starts[0]}:{target}" if starts else target, "--sql", *command[at + 1 :]]


def split(text: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of each revision, from what Alembic printed."""
    marks = list(RUNNING.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    parts = {mark[2]: text[mark.end() : end] for mark, end in zip(marks, ends)}
    return {name: sql for name, sql in parts.items() if name in pending}


def revisions(location: str) -> dict[str, Revision]:
    """Return the revisions of a folder, by name. DatabaseError where there are none."""
    found = {}
    for path in sorted(glob.glob(os.path.join(location, "versions", "**", "*.py"), recursive=True)):
        one = _read(path)
        if one:
            found[one.name] = one
    if not found:
        raise DatabaseError(f"no revision of Alembic is in {location}/versions")
    return found


def _read(path: str) -> Revision | None:
    with open(path, encoding="utf-8") as stream:
        body = ast.parse(stream.read(), path).body
    said: dict[str, Any] = {}
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
            for name in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(name, ast.Name) and name.id in NAMES:
                    said[name.id] = ast.literal_eval(node.value)
    if not said.get("revision"):
        return None
    return Revision(said["revision"], *(_many(said.get(name)) for name in NAMES[1:]))


def _many(value: Any) -> tuple[str, ...]:
    return () if not value else (value,) if isinstance(value, str) else tuple(value)


def _place(command: list[str]) -> int:
    if "upgrade" not in command[:-1]:
        raise DatabaseError(
            f"{' '.join(command)}: expected 'upgrade' and a revision in a command of Alembic; same_as says what another one does"
        )
    return command.index("upgrade") + 1


def _target(command: list[str]) -> str:
    return command[_place(command)]


def _targets(known: dict[str, Revision], target: str) -> list[str]:
    """Return the revisions that a target means: REVISION, its beginning, head, heads or LABEL@head."""
    heads = _heads(known, set(known))
    if target == "heads":
        return heads
    if target == "head":
        if len(heads) != 1:
            raise DatabaseError(f"head is one of {', '.join(heads)}; say heads, LABEL@head or a revision")
        return heads
    label, at, what = target.partition("@")
    if at and what in ("head", "heads"):
        begun = {one.name for one in known.values() if label in one.labels or one.name == label}
        if not begun:
            raise DatabaseError(f"no revision has the label {label}")
        return _heads(known, {name for name in known if begun & set(_lineage(known, name))})
    named = [name for name in known if name == target or name.startswith(target)]
    named = [target] if target in known else named
    if len(named) != 1:
        raise DatabaseError(f"{target} is {'no revision' if not named else 'one of ' + ', '.join(named)} of the release")
    return named


def _heads(known: dict[str, Revision], among: set[str]) -> list[str]:
    """Return those that no other one comes after in its branch; one that is needed elsewhere is a head all the same."""
    before = {name for one in among for name in known[one].down}
    return sorted(among - before)


def _lineage(known: dict[str, Revision], name: str) -> list[str]:
    return reached([name], {one.name: one.down for one in known.values()})


def _location(command: list[str], folder: str) -> str:
    """Return the folder with env.py, as the file of settings that the command names says it."""
    file = next((after for word, after in zip(command, command[1:]) if word in ("-c", "--config")), "alembic.ini")
    path = os.path.join(folder, file)
    settings = configparser.ConfigParser({"here": os.path.dirname(path)})
    if not settings.read(path):
        raise DatabaseError(f"{path} is not there, or cannot be read")
    try:
        said = settings.get("alembic", "script_location")
    except configparser.Error as error:
        raise DatabaseError(f"{path}: {' '.join(str(error).split())}") from None
    return os.path.join(folder, said)
