# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a judge may know beside the history: when faults were in effect, and what the members were and said in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Context:
    """What is not there was not looked at, and a checker that needs it says unknown.

    `windows`: begin and end of each fault that was proved, in ns of the history's clock. `lease`: seconds of a lock's lease;
    `holders`: how many may have a lock. `fingerprints`: of each member after the final reads; None where it did not tell.
    `logs`: of each node.
    """

    windows: Sequence[tuple[float, float]] = ()
    lease: float | None = None
    holders: int = 1
    fingerprints: Mapping[str, str | None] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)


NOTHING = Context()
