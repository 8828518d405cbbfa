# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to hold before a scenario begins. What does not is the set-up's fault, and never a verdict.

A fault that these hosts cannot do is bad input.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from nodewise.errors import SetupError, UnknownResult
from nodewise.gates.judgement import unmet
from nodewise.gates.vocabulary import builtin_gates
from nodewise.model import Gate
from nodewise.simulation.disturb import held_by, refuse_unable
from nodewise.simulation.faults.host import Scene
from nodewise.simulation.observing import Observer
from nodewise.simulation.schedule import Event

Precondition = Literal["healthy", "versions_equal", "no_foreign_faults", "fault_capable"]
PATIENCE = 30.0  # seconds for a cluster that was just made to get well
FRESH = 10.0  # seconds that an observation answers for: two preconditions ask about one
HEALTHY = ("members_expected", "members_serving", "no_errors")
EQUAL = Gate(
    "versions_equal",
    "length(now.members[?version != `null`]) == expected && min(now.members[].version) == max(now.members[].version)",
    "the members do not all run one version",
    "now.members[].{name: name, version: version}",
)


class Setting(NamedTuple):
    """What a scenario begins with."""

    observer: Observer
    scene: Scene
    events: Sequence[Event]


def require(names: Sequence[Precondition], setting: Setting) -> None:
    """Raise SetupError for the first that does not hold, in a line; UsageError where hosts cannot do a fault."""
    for name in names:
        if why := HOLDS[name](setting):
            raise SetupError(f"precondition {name} does not hold: {why}")


def _gates(setting: Setting, gates: Sequence[Gate]) -> str:
    """What gates say of the cluster, once they hold or nobody waits any longer."""
    until, why, age = time.monotonic() + PATIENCE, "", FRESH
    while True:
        try:
            why = unmet([one for one in setting.observer.ask(gates, age) if not one.ok])
        except UnknownResult as error:
            why = str(error)
        if not why or time.monotonic() > until:
            return why
        age = 0.0


def _no_foreign_faults(setting: Setting) -> str:
    held = {name: faults for name, faults in held_by(setting.scene).items() if faults}
    return "; ".join(f"{name} holds {', '.join(faults)}; heal it with: testnet heal" for name, faults in held.items())


def _fault_capable(setting: Setting) -> str:
    refuse_unable(setting.events, setting.scene)
    return ""


HOLDS: dict[Precondition, Callable[[Setting], str]] = {
    "healthy": lambda setting: _gates(setting, [builtin_gates()[name] for name in HEALTHY]),
    "versions_equal": lambda setting: _gates(setting, [EQUAL]),
    "no_foreign_faults": _no_foreign_faults,
    "fault_capable": _fault_capable,
}
