# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `pause`: the service stands still and keeps its connections, as a long stop of a machine does."""

from __future__ import annotations

from typing import Literal

from nodewise.simulation.faults.fault import Applied, Means
from nodewise.simulation.faults.host import NotProved
from nodewise.simulation.faults.service import FOLDER, OfService

# What the kernel says: each process of the unit, with its state, and whether the group is frozen.
STATE = (
    FOLDER
    + """
grep -s frozen "$group/cgroup.events" || :
for pid in $(cat "$group/cgroup.procs"); do awk '/^State/ { print $2 }' /proc/$pid/status; done"""
)


class Pause(OfService, tag="pause"):
    """A freeze of the service's cgroup (`freeze`), or SIGSTOP for its main process alone (`stop`)."""

    how: Literal["freeze", "stop"] = "freeze"  # freeze: its cgroup; stop: SIGSTOP for its main process alone

    def means(self, unit: str) -> Means:
        """The holder of the fault is in another cgroup. A unit that was started anew has another group, and is frozen no more."""
        if self.how == "stop":
            kill = "systemctl kill --kill-whom=main --signal"
            return Means("SIGSTOP", f'{kill}=STOP {unit}; echo "{unit}"', f"{kill}=CONT {unit} || :")
        folder = FOLDER.replace("{unit}", unit)
        thaw = f'{folder}\n[ ! -e "$group/cgroup.freeze" ] || echo 0 >"$group/cgroup.freeze"'
        return Means("cgroup.freeze", f'{folder}\necho 1 >"$group/cgroup.freeze"; echo "{unit}"', thaw)

    def proved(self, applied: Applied) -> str:
        """The kernel says that the group is frozen, or that a process is stopped."""
        states = self._states(applied)
        wanted = "frozen 1" if self.how == "freeze" else "T"
        if running := [name for name, said in states.items() if wanted not in said]:
            raise NotProved(f"{self.id}: the service is not still on {', '.join(running)}: {states[running[0]]}")
        return f"the service stands still on {', '.join(states)} ({wanted})"

    def healed(self, applied: Applied) -> str:
        """Nothing of it is frozen or stopped any more."""
        states = self._states(applied)
        if still := [name for name, said in states.items() if "frozen 1" in said or "T" in said or not said]:
            raise NotProved(f"{self.id}: the service is still not running on {', '.join(still)}")
        return f"the service runs on {', '.join(states)}"

    @staticmethod
    def _states(applied: Applied) -> dict[str, list[str]]:
        asked = applied.ask({name: STATE.replace("{unit}", unit.strip()) for name, unit in applied.said.items()})
        return {name: said.splitlines() for name, said in asked.items()}
