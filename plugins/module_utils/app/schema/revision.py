# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Revisions of a schema that come after one another, as files of a release say it."""

from __future__ import annotations

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
