# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The number that each record of a run carries, so that a reader names what it cannot read.

It rises when a record changes in a way that an older version would misread. What has a lower number, or none (as up to 0.1), is
read in today's words: `nodewise.renamed` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodewise.errors import UnknownResult

SCHEMA = 1


def stamped(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it is written."""
    return {"schema": SCHEMA, **fields}


def accepted(path: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record without its number; raises UnknownResult where it is a newer version's."""
    found = fields.get("schema", 0)
    if not isinstance(found, int) or found > SCHEMA:
        raise UnknownResult(f"{path} has schema {found}, and this version reads up to {SCHEMA}: read it with a newer Nodewise")
    return {key: value for key, value in fields.items() if key != "schema"}
