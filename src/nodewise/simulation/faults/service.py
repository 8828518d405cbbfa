# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What faults of a service share: its target, and what the host says of its unit."""

from __future__ import annotations

import re
import shlex
from abc import abstractmethod
from typing import ClassVar

from nodewise.errors import UsageError
from nodewise.simulation.faults import held, targets
from nodewise.simulation.faults.fault import Applied, Fault, Means
from nodewise.simulation.faults.host import NotProved, Scene
from nodewise.simulation.faults.targets import Target

# Names of units as systemd.unit(5) has them; one that begins with - would be an option of a command.
NAME = re.compile(r"[A-Za-z0-9:_.\\][A-Za-z0-9:_.\\@-]{0,254}")
BACK = 30.0  # seconds that a service has to be there again
# The unit's folder in the cgroup tree of version 2, also where that is beside one of version 1.
FOLDER = """for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do
  group=$root$(systemctl show -P ControlGroup {unit}); [ ! -e "$group/cgroup.freeze" ] || break
done"""
# Waits until the unit runs with another main process than the one that was.
ANEW = """for _ in $(seq {tenths}); do
  now=$(systemctl show -P MainPID {unit})
  [ "$now" = 0 ] || [ "$now" = "{was}" ] || ! systemctl is-active --quiet {unit} || { echo "$now"; exit; }
  sleep 0.1
done"""


class OfService(Fault, kw_only=True):
    """A fault of the service under test, or of another unit of systemd, on a target's hosts."""

    target: Target = "one"  # whose service
    unit: str = ""  # the service under test, unless it is said

    slow: ClassVar[float] = BACK

    def check(self, nodes: list[str]) -> None:
        """The target is there, and the unit's name is one: it becomes a word of scripts."""
        targets.check(self.target, nodes)
        if self.unit and not NAME.fullmatch(self.unit):
            raise UsageError(f"{self.id}: {self.unit!r} is no name of a unit; expected letters, digits and :_.\\@-, such as etcd")

    def takes(self, nodes: int) -> int:
        """All of the target."""
        return targets.most(self.target, nodes)

    def on(self, scene: Scene) -> dict[str, Means]:
        """The same on each host of the target."""
        return dict.fromkeys(targets.resolve(self.target, scene), self.means(shlex.quote(self.unit or scene.unit)))

    def cannot(self, scene: Scene) -> str:
        """Whether it is known what the unit is."""
        return "" if self.unit or scene.unit else "the system does not say what its unit is; name it with unit:"

    @abstractmethod
    def means(self, unit: str) -> Means:
        """How a host does it to a unit."""

    def able(self, scene: Scene) -> str:  # noqa: ARG002 (the protocol's name)
        """Whether there is such a unit, where it is named here."""
        unit = shlex.quote(self.unit)
        return f"systemctl cat {unit} >/dev/null 2>&1 || echo there is no unit {unit}" if self.unit else ""

    def runs(self, applied: Applied) -> None:
        """Systemd says that the service is active. Raises NotProved."""
        said = applied.ask({name: f"systemctl show -P ActiveState {said.split()[0]}" for name, said in applied.said.items()})
        if others := [f"{name} {state}" for name, state in said.items() if state != "active"]:
            raise NotProved(f"{self.id}: the service is {', '.join(others)}; expected active")

    @property
    def folder(self) -> str:
        """What a host keeps of the fault while it holds it."""
        return f"{held.ROOT}/{held.checked(self.id)}"


def anew(unit: str, was: str) -> str:
    """A script that prints the main process of a unit once it is another; nothing when that does not happen in time."""
    return ANEW.replace("{unit}", unit).replace("{was}", was).replace("{tenths}", str(round(BACK * 10)))
