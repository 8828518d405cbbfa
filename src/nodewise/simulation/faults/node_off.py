# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `node_off`: a host is gone at once, as by a loss of power, and is there again when the fault ends.

A host that is off cannot heal itself: the controller holds this one. When the controller dies the host stays off, until
`testnet heal` or `testnet start` starts it.
"""

from __future__ import annotations

from typing import ClassVar

from nodewise.simulation.faults import targets
from nodewise.simulation.faults.fault import Applied, Fault, Holds, Means
from nodewise.simulation.faults.host import NotProved, Scene, banner
from nodewise.simulation.faults.targets import Target


class NodeOff(Fault, tag="node_off"):
    """Each host of the target is ended without a word to any of its processes."""

    target: Target = "one"  # who is ended

    holds: ClassVar[Holds] = "controller"
    here: ClassVar[bool] = True

    def check(self, nodes: list[str]) -> None:
        """The target is there."""
        targets.check(self.target, nodes)

    def takes(self, nodes: int) -> int:
        """All of the target."""
        return targets.most(self.target, nodes)

    def on(self, scene: Scene) -> dict[str, Means]:
        """By whoever runs the hosts."""
        return dict.fromkeys(targets.resolve(self.target, scene), Means("the testnet's provider", "", ""))

    def cannot(self, scene: Scene) -> str:
        """Whether somebody can switch them."""
        return "" if scene.power else "nobody here can switch these hosts off and on; a testnet can"

    def inject(self, applied: Applied) -> None:
        """Off, all at once."""
        self._power(applied, on=False)

    def undo(self, applied: Applied) -> None:
        """On, and reachable; one that is on stays so."""
        self._power(applied, on=True)

    @classmethod
    def sweep(cls, scene: Scene) -> dict[str, list[str]]:
        """All that do not answer at their port for SSH."""
        off = [name for name, host in scene.hosts.items() if scene.power and not banner(host.address)]
        if scene.power and off:
            scene.power(off, True)
        return {name: [f"{cls.__struct_config__.tag}"] for name in off}

    def _power(self, applied: Applied, *, on: bool) -> None:
        assert applied.scene.power is not None  # noqa: S101 (asked in `on`)
        applied.scene.power(list(applied.where), on)

    def proved(self, applied: Applied) -> str:
        """Nobody answers at its port for SSH."""
        if heard := [name for name in applied.where if banner(applied.scene.hosts[name].address)]:
            raise NotProved(f"{self.id}: {', '.join(heard)} still answers; expected it to be off")
        return f"{', '.join(applied.where)} answers nobody"

    def healed(self, applied: Applied) -> str:
        """It runs a command, and the service, where there is one."""
        unit = applied.scene.unit
        said = applied.ask(f"systemctl show -P ActiveState {unit}" if unit else "echo active")
        if others := [f"{name} {state}" for name, state in said.items() if state != "active"]:
            raise NotProved(f"{self.id}: the service is {', '.join(others)}; expected active")
        return f"{', '.join(applied.where)} answers, and the service runs"
