# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `member_remove`: the cluster has a member less. It comes back with empty data, as a member on a new disk does.

The cluster holds it: when the controller dies the member stays away until `testnet heal` brings it back. A file beside the data on
its host says that this fault removed it; a member that somebody else removed is left alone.
"""

from __future__ import annotations

import shlex
from typing import ClassVar, Protocol, runtime_checkable

from nodewise.simulation.faults import held, targets
from nodewise.simulation.faults.cluster import OfCluster, member, patiently
from nodewise.simulation.faults.fault import Applied, Holds, Means
from nodewise.simulation.faults.host import Host, NotProved, Scene
from nodewise.simulation.faults.targets import Target

MARK = f"""[ -e {held.MARK} ] || {{ echo "$(hostname) is no test host: it has no {held.MARK}" >&2; exit 9; }}
echo {{id}} >{{mark}}"""
FORGET = "systemctl stop {unit} || :\n{forget}"
BACK = "systemctl reset-failed {unit} 2>/dev/null; systemctl start {unit} && rm -f {mark}"


@runtime_checkable
class Removes(Protocol):
    """A client of a system whose members can be removed and taken in again, each known by its host's address."""

    def listed(self) -> set[str]:
        """The addresses of all members."""

    def remove(self, address: str) -> None:
        """Remove the member there; where there is none is no error."""

    def take_in(self, address: str) -> None:
        """Take in a member there, which is to be started then."""

    def forget(self) -> str:
        """A script for a host whose service is stopped: what it had as a member is gone, and it starts as one that is taken in."""


class MemberRemove(OfCluster, tag="member_remove"):
    """Each host of the target is a member no more; when the fault ends it comes back, with a copy of what the others have."""

    target: Target = "one"  # who is removed

    holds: ClassVar[Holds] = "controller"
    asks: ClassVar[type] = Removes
    majority: ClassVar[bool] = True

    def check(self, nodes: list[str]) -> None:
        """The target is there."""
        targets.check(self.target, nodes)

    def takes(self, nodes: int) -> int:
        """All of the target."""
        return targets.most(self.target, nodes)

    def on(self, scene: Scene) -> dict[str, Means]:
        """The hosts of the target, through whichever member answers."""
        return dict.fromkeys(targets.resolve(self.target, scene), Means("a client of the cluster", "", ""))

    def cannot(self, scene: Scene) -> str:
        """Whether its clients can, and it is known what a member's service is."""
        return super().cannot(scene) or ("" if scene.unit and scene.data else "the system does not say its unit and its data")

    def inject(self, applied: Applied) -> None:
        """What says that it was removed is on its host first."""
        applied.ask(_script(MARK, applied.scene).replace("{id}", self.id))
        patiently(lambda: self._remove(applied))

    @staticmethod
    def _remove(applied: Applied) -> None:
        with member(applied.scene, but=applied.where) as client:
            for name in applied.where:
                client.remove(applied.scene.hosts[name].address)

    def undo(self, applied: Applied) -> None:
        """Taken in again, one after the other: each asks for a larger majority."""
        for name in applied.where:
            _bring_back(applied.scene, applied.scene.hosts[name])

    def proved(self, applied: Applied) -> str:
        """The cluster does not list it."""
        if there := self._listed(applied):
            raise NotProved(f"{self.id}: the cluster still lists {', '.join(there)}")
        return f"the cluster no longer lists {', '.join(applied.where)}"

    def healed(self, applied: Applied) -> str:
        """The cluster lists it, and its service runs."""
        if missing := sorted({*applied.where} - {*self._listed(applied)}):
            raise NotProved(f"{self.id}: the cluster does not list {', '.join(missing)}")
        said = applied.ask(f"systemctl show -P ActiveState {applied.scene.unit}")
        if others := [f"{name} {state}" for name, state in said.items() if state != "active"]:
            raise NotProved(f"{self.id}: the service is {', '.join(others)}; expected active")
        return f"the cluster lists {', '.join(applied.where)}, and the service runs"

    @classmethod
    def sweep(cls, scene: Scene) -> dict[str, list[str]]:
        """All whose hosts say that they were removed so."""
        if not scene.client or not isinstance(scene.client(next(iter(scene.hosts))), Removes):
            return {}
        asked = Applied(scene, dict.fromkeys(scene.hosts, Means("", "", ""))).ask(_script("cat {mark} 2>/dev/null || :", scene))
        ours = {name: said.split() for name, said in asked.items() if said}
        for name in ours:
            _bring_back(scene, scene.hosts[name])
        return ours

    @staticmethod
    def _listed(applied: Applied) -> list[str]:
        with member(applied.scene, but=applied.where) as client:  # who was removed may not know it
            listed = client.listed()
        return [name for name in applied.where if applied.scene.hosts[name].address in listed]


def _bring_back(scene: Scene, host: Host) -> None:
    """From wherever it was interrupted: a member that is listed, and has no data, has only to be started."""
    with member(scene, but=[host.name]) as client:
        if host.address not in client.listed():
            host.run(_script(FORGET, scene).replace("{forget}", client.forget()))
            client.take_in(host.address)
    host.run(_script(BACK, scene))


def _script(text: str, scene: Scene) -> str:
    return text.replace("{unit}", shlex.quote(scene.unit)).replace("{mark}", f"{scene.data}.removed")
