# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long clients waited in a part of a run: a load's own figure is of all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nodewise.model import Operation


class Wait(NamedTuple):
    """One client, from an acknowledged operation to its next one; ns since the epoch."""

    began: int
    ended: int


def waits(operations: Iterable[Operation], epoch: int) -> list[Wait]:
    """Every client's waits; `epoch` is when the history began, in ns since the epoch."""
    last: dict[int, int] = {}
    found = []
    for one in operations:
        if one.type == "ok":
            if one.process in last:
                found.append(Wait(epoch + last[one.process], epoch + one.time))
            last[one.process] = one.time
    return found


def longest_ms(found: Iterable[Wait], window: Wait) -> float:
    """The longest wait that was going on at some moment of the window; 0 when none was."""
    overlapping = [wait.ended - wait.began for wait in found if wait.began < window.ended and wait.ended > window.began]
    return round(max(overlapping, default=0) / 1e6, 1)


def stepping(records: Iterable[Mapping[str, Any]], step: str) -> Wait:
    """When an upgrade was at a step, such as `roll`, from its journal."""
    at = {record["phase"]: record["t"] for record in records if record.get("step") == step}
    return Wait(at["begin"], at["end"])
