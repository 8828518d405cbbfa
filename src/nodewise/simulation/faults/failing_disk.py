# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `failing_disk`: nothing that a service wrote gets to its disk for certain."""

from __future__ import annotations

from nodewise.simulation.faults.fault import Applied
from nodewise.simulation.faults.traced import Traced


class FailingDisk(Traced, tag="failing_disk"):
    """Each fdatasync and fsync of a service ends with EIO. Many a service ends itself then; it runs again when the fault ends."""

    def what(self) -> str:
        """The call does not get to the disk."""
        return "error=EIO"

    def proved(self, applied: Applied) -> str:
        """Calls were seen to fail."""
        return "; ".join(f"{name}: {calls} calls ended with EIO" for name, (calls, _) in self.caught(applied, "INJECTED").items())
