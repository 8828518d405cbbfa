# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The number that each record of a run carries, so that a reader names what it cannot read.

It rises when a record changes in a way that an older version would misread. What has a lower number, or none (as up to 0.1), is
read in today's words: `nodewise.renamed` has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from nodewise.errors import UnknownResult

SCHEMA = 1
Kind = TypeVar("Kind")


def stamped(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it is written."""
    return {"schema": SCHEMA, **fields}


def read(path: Path, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    """A file of a record, without its number. Raises UnknownResult, in one line, for one that cannot be read, or is newer."""
    try:
        found = parse(path.read_bytes())
    except (OSError, ValueError, msgspec.MsgspecError, yaml.YAMLError) as error:
        raise UnknownResult(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise UnknownResult(f"{path} cannot be read: expected named fields, found {type(found).__name__}")
    return accepted(path, found)


def as_kind(where: object, fields: Any, kind: type[Kind]) -> Kind:
    """A record as a struct. Fields that this version does not have are passed over: an older one wrote them.

    Raises UnknownResult, in one line, for one that lacks a field or has it in another shape.
    """
    try:
        return msgspec.convert(_known(fields, inspect.type_info(kind)), kind)
    except msgspec.ValidationError as error:
        raise UnknownResult(f"{where} cannot be read by this version: {error}") from None


def _known(value: Any, kind: inspect.Type) -> Any:
    """A value without the fields that its type does not have."""
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        return {
            field.encode_name: _known(value[field.encode_name], field.type) for field in kind.fields if field.encode_name in value
        }
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        return [_known(one, kind.item_type) for one in value]
    if isinstance(kind, inspect.DictType) and isinstance(value, dict):
        return {key: _known(one, kind.value_type) for key, one in value.items()}
    if isinstance(kind, inspect.UnionType):
        structs = [one for one in kind.types if isinstance(one, inspect.StructType)]
        return _known(value, structs[0]) if structs else value
    return value


def accepted(path: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record without its number; raises UnknownResult where it is a newer version's."""
    found = fields.get("schema", 0)
    if not isinstance(found, int) or found > SCHEMA:
        raise UnknownResult(f"{path} has schema {found}, and this version reads up to {SCHEMA}: read it with a newer Nodewise")
    return {key: value for key, value in fields.items() if key != "schema"}
