# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQL of the migrations that a release would apply, as their tool prints it without a database."""

from __future__ import annotations

import subprocess
import tempfile
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import alembic, sql, state
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.migrate import started
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session, complaint
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import end_group

OFFLINE_S = 120.0


def pending(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return {phase, revision, sql, gap} for each; `gap` says why there is no SQL of it."""
    schema, version, found = given["schema"], given["version"], []
    with Session(schema["database"], schema["password"], f"{state.OURS} {schema['service']} lint") as session:
        rows = state.revisions(session, schema)
    known = state.ancestors(schema, version)
    there = set(alembic.applied(rows, known) if schema["tool"] == "alembic" else rows)
    for phase in schema["commands"]:
        left = [name for name in state.shipped(schema, phase, version) if name not in there]
        found += _texts(schema, phase, version, left) if left else []
        there |= set(left)
    return found


def _texts(schema: dict[str, Any], phase: str, version: str, left: list[str]) -> list[dict[str, Any]]:
    if schema["tool"] == "sql":
        folder, files = state.files_of(schema, version), state.files(schema, phase, version)
        return [{"phase": phase, "revision": name, "sql": sql.text(folder, files, name), "gap": ""} for name in left]
    try:
        parts, gap = _offline(schema, phase, version, left), "Alembic printed no SQL of it"
    except DatabaseError as error:
        parts, gap = {}, str(error)
    return [{"phase": phase, "revision": name, "sql": parts.get(name, ""), "gap": "" if name in parts else gap} for name in left]


def _offline(schema: dict[str, Any], phase: str, version: str, left: list[str]) -> dict[str, str]:
    command = state.filled(schema["commands"][phase], schema, version)
    asked = alembic.offline(command, state.files_of(schema, version), left)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = started(schema, asked, version, "", (output, errors))
        try:
            code = process.wait(OFFLINE_S)
        except subprocess.TimeoutExpired:
            end_group(process)
            raise DatabaseError(f"it did not print its SQL within {OFFLINE_S:g} s") from None
        output.seek(0)
        errors.seek(0)
        text, said = output.read().decode("utf-8", "replace"), errors.read().decode("utf-8", "replace")
    if code:
        raise DatabaseError(f"it cannot be had without a database: {complaint(said)}")
    return alembic.split(text, left)
