# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a tool's own tables say is wrong: migrations that failed half-way, locks that were left, files that were changed since."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session


def dirty(session: Session, tool: Any) -> list[str]:
    """Return the migrations that failed half-way, a line each; nothing of a tool that does not note that."""
    return _rows(session, tool.TABLE, getattr(tool, "DIRTY", ""))


def locked(session: Session, tool: Any) -> list[str]:
    """Return who holds a lock that is kept in a table, and so outlives its holder."""
    return _rows(session, getattr(tool, "LOCK_TABLE", ""), getattr(tool, "LOCK", ""))


def sums(session: Session, tool: Any) -> dict[str, str]:
    """Return the checksums that the database has of what was applied."""
    return dict(_rows(session, tool.TABLE, getattr(tool, "SUMS", "")))


def changed(known: dict[str, str], tool: Any, command: list[str], folder: str) -> list[str]:
    """Return the migrations of a release whose file is not the one that was applied."""
    own = tool.sums(command, folder) if known else {}
    return [name for name in own if known.get(name, own[name]) != own[name]]


def refuse(session: Session, tool: Any) -> None:
    """Raise DatabaseError where the tool would meet what an earlier try left."""
    if found := dirty(session, tool) or locked(session, tool):
        raise DatabaseError("; ".join(found))


def _rows(session: Session, table: str, statement: str) -> list[Any]:
    if not statement or session.ask(f"select to_json(to_regclass('{table}') is null)"):
        return []
    return list(session.ask(f"select coalesce(json_agg(r), '[]') from ({statement}) as x(r)"))  # noqa: S608  (ours)
