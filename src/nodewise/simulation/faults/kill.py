# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `kill`: SIGKILL for all processes of the service. Unless systemd was first, it is started again when the fault ends."""

from __future__ import annotations

from nodewise.simulation.faults.fault import Applied, Means
from nodewise.simulation.faults.host import NotProved
from nodewise.simulation.faults.service import OfService, anew

# The main process that was, once it is gone.
KILL = """was=$(systemctl show -P MainPID {unit}); [ "$was" != 0 ] || { echo "{unit} does not run" >&2; exit 1; }
systemctl kill --kill-whom=all --signal=KILL {unit}
for _ in $(seq 100); do [ -d /proc/$was ] || { echo "{unit} $was"; exit; }; sleep 0.05; done; exit 1"""


class Kill(OfService, tag="kill"):
    """SIGKILL for all processes of a service on each host of the target."""

    def means(self, unit: str) -> Means:
        """By systemd, so that every process of the unit is killed."""
        return Means("systemctl kill", KILL.replace("{unit}", unit), f"systemctl reset-failed {unit}; systemctl start {unit}")

    def proved(self, applied: Applied) -> str:
        """Its main process, that there was, is not there any more."""
        if missing := [name for name in applied.where if not applied.said.get(name)]:
            raise NotProved(f"{self.id}: no process was seen to end on {', '.join(missing)}")
        return ", ".join(f"process {said.split()[1]} of {name} is gone" for name, said in applied.said.items())

    def healed(self, applied: Applied) -> str:
        """It runs again, in another process."""
        back = applied.ask({name: anew(*said.split()) for name, said in applied.said.items()})
        if missing := [name for name, pid in back.items() if not pid]:
            raise NotProved(f"{self.id}: the service does not run again on {', '.join(missing)}")
        return ", ".join(f"process {pid} runs on {name}" for name, pid in back.items())
