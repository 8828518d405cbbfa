# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A description in a file, checked without a host: what Ansible would fill in is taken for right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from nodewise.errors import UsageError
from nodewise.systems.app import schema
from nodewise.systems.app.description import ROOT, App, read, refuse_others

AT = re.compile(rf"(?:{ROOT}|{schema.ROOT})((?:\.[\w-]+|\[\d+\])+): expected")
Read = TypeVar("Read")
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def lint(path: Path) -> App:
    """The description in a file of variables or in an inventory, or one that is the whole file. Raises UsageError.

    What is said of the schema of a database is read with it.
    """
    try:
        documents = list(yaml.load_all(path.read_text(), Loader))  # a safe loader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    found = [one for document in documents for one in _described(document, ROOT)]
    if not found:
        refuse_others(documents[0] if documents else None)
    if len(found) > 1:
        raise UsageError(f"{path} has {len(found)} descriptions; expected one {ROOT}")
    for one in (one for document in documents for one in _described(document, schema.ROOT)):
        _filled_in(one, schema.read)
    return _filled_in(found[0] if found else documents[0], read)


def _described(value: Any, name: str) -> Iterator[Any]:
    """What stands under a name, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            else:
                yield from _described(inner, name)


def _filled_in(given: Any, read: Callable[[object], Read]) -> Read:
    """Read it; a template where a number, say, is expected is taken for one."""
    while True:
        try:
            return read(given)
        except UsageError as error:
            if not (found := AT.match(str(error))) or not _fill(given, re.findall(r"[\w-]+", found[1]), str(error)):
                raise


def _fill(given: Any, path: list[str], said: str) -> bool:
    """Put something of the expected type in the place of a template; whether there was one."""
    *above, last = [int(word) if word.isdigit() else word for word in path]
    for word in above:
        given = given[word]
    if not (isinstance(given[last], str) and "{{" in given[last]):
        return False
    types = {"int": 1, "float": 1.0, "bool": True, "array": [], "object": {}}
    given[last] = next((filler for name, filler in types.items() if f"`{name}" in said), None)
    return given[last] is not None
