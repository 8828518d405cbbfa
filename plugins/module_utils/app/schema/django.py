# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Django's migrations, read from the files of a release's own apps, without Django. Those of installed packages are left to it."""

from __future__ import annotations

import ast
import glob
import os
from collections.abc import Callable
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.revision import Revision, closure

TABLE = "django_migrations"
REVISION = "select app || '.' || name from django_migrations"
GAP = "it has an operation that Django does not write as SQL"
UNWRITTEN = "CANNOT BE WRITTEN AS SQL"  # in what sqlmigrate prints


def shipped(command: list[str], folder: str, _files: str) -> list[str]:
    """Return what a command leads to, in order: `migrate`, `migrate APP` or `migrate APP NAME`, and all that comes before."""
    known = revisions(folder)
    return closure(known, _targets(known, _words(command)))


def ancestors(_command: list[str], folder: str) -> dict[str, tuple[str, ...]]:
    """Return each migration that a release ships, with those before it."""
    return {one.name: one.after for one in revisions(folder).values()}


def applied(rows: list[str], _known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return all migrations that a database has: its table names each of them."""
    return rows


def texts(ask: Callable[[list[str]], str], command: list[str], _folder: str, _files: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of what is pending, by sqlmigrate, where all of it is SQL. `ask` runs a command, or raises DatabaseError."""
    begin = command[: command.index("migrate")]
    printed = {name: ask([*begin, "sqlmigrate", *name.split(".", 1)]) for name in pending}
    return {name: text for name, text in printed.items() if UNWRITTEN not in text}


def revisions(folder: str) -> dict[str, Revision]:
    """Return the migrations below a folder, by APP.NAME. DatabaseError where there are none, or where one was squashed."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "**", "migrations", "*.py"), recursive=True)):
        name, app = os.path.basename(path)[: -len(".py")], os.path.basename(os.path.dirname(os.path.dirname(path)))
        if not name.startswith("_") and f"{os.sep}site-packages{os.sep}" not in path:
            found[f"{app}.{name}"] = path
    if not found:
        raise DatabaseError(f"no migration of Django is below {folder}")
    return {name: Revision(name, _before(path, name, set(found)), (), ()) for name, path in found.items()}


def _before(path: str, name: str, known: set[str]) -> tuple[str, ...]:
    """Return the migrations of the release's own apps that one depends on."""
    with open(path, encoding="utf-8") as stream:
        classes = [node for node in ast.parse(stream.read(), path).body if isinstance(node, ast.ClassDef)]
    said: dict[str, Any] = {}
    for node in (node for one in classes if one.name == "Migration" for node in one.body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, (ast.List, ast.Tuple)):
            said[node.targets[0].id] = node.value.elts
    if said.get("replaces"):
        raise DatabaseError(f"{name} was squashed: remove what it replaces from the release, and `replaces` from it")
    pairs = [
        [part.value for part in one.elts if isinstance(part, ast.Constant)]
        for one in said.get("dependencies", [])
        if hasattr(one, "elts")
    ]
    return tuple(one for one in (".".join(map(str, pair)) for pair in pairs) if one in known)


def _words(command: list[str]) -> list[str]:
    if "migrate" not in command:
        raise DatabaseError(f"{' '.join(command)}: expected 'migrate' in a command of Django")
    return [word for word in command[command.index("migrate") + 1 :] if not word.startswith("-")]


def _targets(known: dict[str, Revision], words: list[str]) -> list[str]:
    """Return the migrations that are meant: all, those of an app, or one of it by its name or by how that begins."""
    if not words:
        return sorted(known)
    app, *named = words
    own = [name for name in sorted(known) if name.startswith(f"{app}.")]
    if not named:
        meant = own
    else:
        meant = [name for name in own if name == f"{app}.{named[0]}"] or [
            name for name in own if name.startswith(f"{app}.{named[0]}")
        ]
    if not meant or (named and len(meant) != 1):
        raise DatabaseError(f"{' '.join(words)} is {'one of ' + ', '.join(meant) if meant else 'no migration'} of the release")
    return meant
