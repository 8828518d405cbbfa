# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `stop`: the service is stopped in order, and started again when the fault ends."""

from __future__ import annotations

from nodewise.simulation.faults.fault import Applied, Means
from nodewise.simulation.faults.host import NotProved
from nodewise.simulation.faults.service import OfService

STATE = "systemctl show -P ActiveState {unit}"


class Stop(OfService, tag="stop"):
    """A stop of a service on each host of the target."""

    def means(self, unit: str) -> Means:
        """By systemd, which does not start again what was stopped."""
        return Means("systemctl stop", f'systemctl stop {unit}; echo "{unit}"', f"systemctl start {unit}")

    def proved(self, applied: Applied) -> str:
        """Systemd says that it is inactive."""
        return self._all(applied, "inactive", "failed")

    def healed(self, applied: Applied) -> str:
        """Systemd says that it is active."""
        return self._all(applied, "active")

    def _all(self, applied: Applied, *wanted: str) -> str:
        said = applied.ask({name: STATE.replace("{unit}", unit) for name, unit in applied.said.items()})
        if others := [f"{name} {state}" for name, state in said.items() if state not in wanted]:
            raise NotProved(f"{self.id}: the service is {', '.join(others)}; expected {wanted[0]}")
        return ", ".join(f"{name} {state}" for name, state in said.items())
