# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `restart`: the service is stopped in order and started again."""

from __future__ import annotations

from typing import ClassVar

from nodewise.simulation.faults.fault import Applied, Holds, Means
from nodewise.simulation.faults.host import NotProved
from nodewise.simulation.faults.service import OfService, anew


class Restart(OfService, tag="restart"):
    """A restart of a service on each host of the target, all at once."""

    holds: ClassVar[Holds] = "once"

    def means(self, unit: str) -> Means:
        """By systemd; what was is printed."""
        return Means(
            "systemctl restart", f'echo "{unit} $(systemctl show -P MainPID {unit})"\nsystemctl restart --no-block {unit}', ":"
        )

    def proved(self, applied: Applied) -> str:
        """It runs in another process than before."""
        return self.healed(applied)

    def healed(self, applied: Applied) -> str:
        """The same."""
        back = applied.ask({name: anew(*said.split()) for name, said in applied.said.items()})
        if missing := [name for name in applied.where if not back.get(name)]:
            raise NotProved(f"{self.id}: no new process of the service on {', '.join(missing)}")
        return ", ".join(f"{name}: process {applied.said[name].split()[1]} became {pid}" for name, pid in back.items())
