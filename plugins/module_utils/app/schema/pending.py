# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQL of the migrations that a release would apply, as their tool prints it without a database."""

from __future__ import annotations

import subprocess
import tempfile
from functools import partial
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import state
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.migrate import started
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session, complaint
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import end_group

OFFLINE_S = 120.0


def pending(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return {phase, revision, sql, gap} for each; `gap` says why there is no SQL of it."""
    schema, version, found = given["schema"], given["version"], []
    with Session(schema["database"], schema["password"], f"{state.OURS} {schema['service']} lint") as session:
        rows = state.revisions(session, schema)
        state.refuse_trouble(session, schema, version)
    there = set(state.TOOLS[schema["tool"]].applied(rows, state.ancestors(schema, version)))
    for phase in schema["commands"]:
        left = [name for name in state.shipped(schema, phase, version) if name not in there]
        found += _texts(schema, phase, version, left) if left else []
        there |= set(left)
    return found


def _texts(schema: dict[str, Any], phase: str, version: str, left: list[str]) -> list[dict[str, Any]]:
    tool, folder, files = state.TOOLS[schema["tool"]], state.files_of(schema, version), state.files(schema, phase, version)
    command = state.filled(schema["read_as"][phase], schema, version)
    try:
        parts, gap = tool.texts(partial(_printed, schema, version), command, folder, files, left), tool.GAP
    except DatabaseError as error:
        parts, gap = {}, str(error)
    return [{"phase": phase, "revision": name, "sql": parts.get(name, ""), "gap": "" if name in parts else gap} for name in left]


def _printed(schema: dict[str, Any], version: str, asked: list[str]) -> str:
    """Return what a tool prints that is asked for SQL."""
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
        raise DatabaseError(f"its SQL cannot be had: {complaint(said)}")
    return text
