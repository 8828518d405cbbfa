# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder of files with SQL, each named by its version: 20260101_add.sql, or .up.sql beside .down.sql."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.revision import listed

TABLE = "schema_migrations"
GAP = "there is no SQL of it"
REVISION = "select version::text from schema_migrations"
_NAME = re.compile(r"(?P<version>[A-Za-z0-9]+)[^/]*?(?<!\.down)\.sql")
_DOWN = re.compile(r"^--\s*(migrate:down|\+goose Down|\+migrate Down).*", re.MULTILINE | re.DOTALL)


def shipped(_command: list[str], folder: str, files: str) -> list[str]:
    """Return the versions of a folder's files, in order."""
    return sorted(_files(os.path.join(folder, files)))


def ancestors(_command: list[str], _folder: str) -> dict[str, tuple[str, ...]]:
    """Return nothing: a table names each version that the database has."""
    return {}


def applied(rows: list[str], _known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return all versions that a database has."""
    return rows


def texts(_ask: Callable[[list[str]], str], _command: list[str], folder: str, files: str, pending: list[str]) -> dict[str, str]:
    """Return the SQL of what is pending."""
    return {version: text(folder, files, version) for version in pending}


def text(folder: str, files: str, version: str) -> str:
    """Return the SQL of a version, without what takes it back."""
    path = _files(os.path.join(folder, files))[version]
    with open(path, encoding="utf-8") as stream:
        return _DOWN.sub("", stream.read())


def _files(folder: str) -> dict[str, str]:
    found = [(match["version"], os.path.join(folder, match.group())) for match in map(_NAME.fullmatch, listed(folder)) if match]
    if len(dict(found)) != len(found):
        raise DatabaseError(f"two files of {folder} have one version")
    return dict(found)
