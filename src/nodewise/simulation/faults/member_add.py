# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `member_add`: the cluster has a member more, which nobody ever starts.

The cluster holds it, and no node: when the controller dies the member stays, until `testnet heal` removes it, known by its name.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from nodewise.simulation.faults.cluster import OfCluster, member, patiently
from nodewise.simulation.faults.fault import Applied, Holds
from nodewise.simulation.faults.host import NotProved, Scene

PREFIX = "nodewise-"


@runtime_checkable
class Adds(Protocol):
    """A client of a system whose members can be added before they are started; such a one is known by a name that is ours."""

    def ghosts(self) -> list[str]:
        """Names of members that were added so."""

    def add_ghost(self, name: str, voter: bool) -> None:
        """Add one, which counts for the quorum or does not."""

    def remove_ghost(self, name: str) -> None:
        """Remove one; one that there is not is no error."""


class MemberAdd(OfCluster, tag="member_add"):
    """A member that counts for the quorum, and is never there; with `learner` one that does not count."""

    learner: bool = False  # true: it does not count for the quorum

    holds: ClassVar[Holds] = "controller"
    asks: ClassVar[type] = Adds

    def takes(self, nodes: int) -> int:  # noqa: ARG002 (the protocol's name)
        """As much as one that is away: a majority of one more has to be there."""
        return 0 if self.learner else 1

    def inject(self, applied: Applied) -> None:
        """Added, by a name of the fault's own."""
        patiently(lambda: self._add(applied))

    def _add(self, applied: Applied) -> None:
        with member(applied.scene) as client:
            client.add_ghost(self._name, not self.learner)

    def undo(self, applied: Applied) -> None:
        """Removed."""
        with member(applied.scene) as client:
            client.remove_ghost(self._name)

    def proved(self, applied: Applied) -> str:
        """The cluster lists it."""
        if not self._listed(applied.scene):
            raise NotProved(f"{self.id}: the cluster does not list the member {self._name}")
        return f"the cluster lists the member {self._name}"

    def healed(self, applied: Applied) -> str:
        """The cluster does not list it."""
        if self._listed(applied.scene):
            raise NotProved(f"{self.id}: the cluster still lists the member {self._name}")
        return f"the cluster no longer lists the member {self._name}"

    @classmethod
    def sweep(cls, scene: Scene) -> dict[str, list[str]]:
        """All that are named as ours are."""
        first = next(iter(scene.hosts))
        if not scene.client or not isinstance(scene.client(first), Adds):
            return {}
        with member(scene) as client:
            ours = [name for name in client.ghosts() if name.startswith(PREFIX)]
            for name in ours:
                client.remove_ghost(name)
        return {first: [name.removeprefix(PREFIX) for name in ours]}

    def _listed(self, scene: Scene) -> bool:
        with member(scene) as client:
            return self._name in client.ghosts()

    @property
    def _name(self) -> str:
        return f"{PREFIX}{self.id}"
