# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Revisions of a schema that come after one another, as files of a release and words of a command say it."""

from __future__ import annotations

import os
from typing import NamedTuple

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError


class Revision(NamedTuple):
    """One file."""

    name: str
    down: tuple[str, ...]  # those before it in its branch
    depends: tuple[str, ...]  # those of other branches that it needs
    labels: tuple[str, ...]

    @property
    def after(self) -> tuple[str, ...]:
        """All that have to be there before it."""
        return (*self.down, *self.depends)


def closure(known: dict[str, Revision], names: list[str]) -> list[str]:
    """Return revisions and all before them, each after those that it needs."""
    found: list[str] = []
    stack = [(name, False) for name in sorted(names, reverse=True)]
    while stack:
        name, done = stack.pop()
        if done:
            found += [] if name in found else [name]
        elif name not in found:
            if name not in known:
                raise DatabaseError(f"revision {name} is named, and no file of the release has it")
            stack += [(name, True), *((before, False) for before in known[name].after)]
    return found


def reached(rows: list[str], known: dict[str, tuple[str, ...]]) -> list[str]:
    """Return revisions and all before them, as far as they are known; one that is not known stands for itself."""
    found: list[str] = []
    left = [*rows]
    while left:
        name = left.pop()
        if name not in found:
            found.append(name)
            left += known.get(name, ())
    return found


def option(command: list[str], *names: str) -> str:
    """Return the value of an option of a command, as NAME=VALUE or the word after NAME; nothing where it does not have it."""
    for word, after in zip(command, [*command[1:], ""]):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else after
    return ""


def read_all(paths: dict[str, str], names: list[str]) -> dict[str, str]:
    """Return the text of each revision whose file is known."""
    found = {}
    for name in names:
        if name in paths:
            with open(paths[name], encoding="utf-8") as stream:
                found[name] = stream.read()
    return found


def listed(folder: str) -> list[str]:
    """Return the names of a folder's files, in order. DatabaseError where it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise DatabaseError(f"{folder}: {error.strerror}") from None
