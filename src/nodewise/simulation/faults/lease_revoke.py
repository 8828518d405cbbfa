# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `lease_revoke`: every lease of the cluster ends, and with it what was attached. There is nothing to heal."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from nodewise.simulation.faults.cluster import OfCluster, member
from nodewise.simulation.faults.fault import Applied, Holds
from nodewise.simulation.faults.host import NotProved


@runtime_checkable
class Revokes(Protocol):
    """A client of a system that has leases."""

    def leases(self) -> list[int]:
        """Those that there are."""

    def revoke(self, lease: int) -> None:
        """End one; one that there is not is no error."""


class LeaseRevoke(OfCluster, tag="lease_revoke"):
    """All leases that there are, revoked one after the other."""

    holds: ClassVar[Holds] = "once"
    asks: ClassVar[type] = Revokes

    def inject(self, applied: Applied) -> None:
        """Those that are made meanwhile stay."""
        with member(applied.scene) as client:
            leases = client.leases()
            for lease in leases:
                client.revoke(lease)
        applied.said[next(iter(applied.where))] = " ".join(map(str, leases))

    def proved(self, applied: Applied) -> str:
        """There was one, and none of them is there any more."""
        revoked = {int(lease) for said in applied.said.values() for lease in said.split()}
        if not revoked:
            raise NotProved(f"{self.id}: the cluster had no lease; expected one or more")
        with member(applied.scene) as client:
            if left := revoked & set(client.leases()):
                raise NotProved(f"{self.id}: {len(left)} of {len(revoked)} leases are still there")
        return f"{len(revoked)} of {len(revoked)} leases are gone"

    def healed(self, applied: Applied) -> str:
        """The same."""
        return self.proved(applied)
