# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""suite.yml as somebody wrote it: whatever in it is not meant is refused before anything runs, with what was meant instead."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from nodewise.errors import UsageError
from nodewise.text import nearest

TEXTS = ("environment", "variables", "secrets")  # by name of an environment variable
LEAST = {"timeout": 0.0, "output": 0.0, "retries": -1.0}  # what a number must be above


Words = Mapping[str, Collection[str]]


class Once(yaml.SafeLoader):
    """YAML in which no key is there twice: the second would hide the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping."""
        keys = [self.construct_object(key, deep) for key, _value in node.value]
        if twice := next((key for number, key in enumerate(keys) if key in keys[:number]), None):
            raise yaml.YAMLError(f"{twice} is given twice, in line {node.start_mark.line + 1} and again below")
        return super().construct_mapping(node, deep)


def read(path: Path, settings: Words, of_scripts: Words) -> dict[str, Any]:
    """A suite's own file, with names that there are, and values that make sense; empty where there is none.

    `settings` and `of_scripts` are the names, with the values that each may have, where those are words. Raises UsageError.
    """
    try:
        found = yaml.load(path.read_text(), Once) if path.exists() else {}  # noqa: S506  a safe loader
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    found = {} if found is None else found
    if not isinstance(found, dict) or not isinstance(found.get("scripts") or {}, dict):
        raise UsageError(f"{path} cannot be read: expected a mapping, and in it scripts as a mapping by name")
    for ours in ("name", "folder", "files", "digest"):
        if ours in found:
            raise UsageError(f"{path}: {ours} is not for a suite to say")
    _check(path, "", found, settings)
    for name, own in (found.get("scripts") or {}).items():
        if not isinstance(own or {}, dict):
            raise UsageError(f"{path}: scripts: {name} is {own!r}; expected a mapping such as {{timeout: 5}}")
        _check(path, f"scripts: {name}: ", own or {}, of_scripts)
    return found | {kind: _texts(path, kind, found[kind]) for kind in TEXTS if kind in found}


def _check(path: Path, where: str, said: dict[Any, Any], known: Words) -> None:
    for key, value in said.items():
        if key not in known:
            raise UsageError(f"{path}: {where}there is no {key}{nearest(str(key), known)}; there are: {', '.join(known)}")
        if known[key] and value not in known[key]:
            raise UsageError(
                f"{path}: {where}{key} is {value!r}{nearest(str(value), known[key])}; expected {', '.join(known[key])}"
            )
        if key in LEAST:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value <= LEAST[key]:
                least = "a number above 0" if LEAST[key] == 0 else "a number from 0 on"
                raise UsageError(f"{path}: {where}{key} is {value!r}; expected {least}")


def _texts(path: Path, kind: str, said: Any) -> dict[str, str]:
    """Values of environment variables: a whole number is a text, too; any other value is not guessed at."""
    if not isinstance(said, dict):
        raise UsageError(f"{path}: {kind} is {said!r}; expected a mapping by name")
    for name, value in said.items():
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise UsageError(f"{path}: {kind}: {name} is {value!r}; expected a text: put it in quotes")
    return {str(name): str(value) for name, value in said.items()}
