# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom a fault is about, as data: a role or a number, resolved to hosts when the fault begins."""

from __future__ import annotations

from typing import Annotated

from nodewise.errors import UsageError
from nodewise.fields import Named
from nodewise.simulation.faults.host import Scene
from nodewise.text import nearest

Target = Annotated[str | list[str] | dict[str, int], Named("target")]  # a word of WORDS, names of nodes (n1), or {random: 2}
WORDS = ("leader", "one", "minority", "minority_with_leader", "majority", "all")


def minority(nodes: int) -> int:
    """How many of so many members may be away while a majority is left."""
    return (nodes - 1) // 2


def check(target: Target, nodes: list[str]) -> None:
    """Raise UsageError for a target that there is not; `nodes` are the short names (n1)."""
    if isinstance(target, dict):
        if list(target) != ["random"] or not 1 <= target["random"] <= len(nodes):
            raise UsageError(f"target {target}: expected {{random: N}} with N from 1 to {len(nodes)}")
    elif isinstance(target, list):
        if not target or any(name not in nodes for name in target):
            raise UsageError(f"target {target}: expected one or more of {', '.join(nodes)}")
    elif target not in WORDS and target not in nodes:
        near = nearest(target, (*WORDS, *nodes))
        raise UsageError(
            f"no target {target!r}{near}; expected one of {', '.join((*WORDS, *nodes))}, a list of nodes, or {{random: 2}}"
        )


def most(target: Target, nodes: int) -> int:
    """How many hosts a target is."""
    if isinstance(target, dict):
        return target["random"]
    if isinstance(target, list):
        return len(target)
    sizes = {"minority": minority(nodes), "minority_with_leader": minority(nodes), "majority": nodes // 2 + 1, "all": nodes}
    return sizes.get(target, 1)


def resolve(target: Target, scene: Scene) -> list[str]:
    """The names of its hosts now. Raises NotProved where the leader is asked for and nobody leads."""
    drawn, full = list(scene.order), {short: name for name in scene.hosts for short in (name, name.rpartition("-")[2])}
    if isinstance(target, list):
        return [full[name] for name in target]
    if isinstance(target, str) and target in full:
        return [full[target]]
    if target == "leader":
        return [scene.leader()]
    if target == "minority_with_leader":
        leader = scene.leader()
        drawn = [leader, *(name for name in drawn if name != leader)]
    return drawn[: most(target, len(drawn))]
