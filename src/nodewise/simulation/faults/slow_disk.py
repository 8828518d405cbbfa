# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `slow_disk`: whatever a service has put on its disk takes longer."""

from __future__ import annotations

from nodewise.errors import UsageError
from nodewise.simulation.faults import targets
from nodewise.simulation.faults.fault import Applied, Span, seconds
from nodewise.simulation.faults.host import NotProved
from nodewise.simulation.faults.traced import Traced

AWAY = 1.0  # seconds for one call: who waits for longer than that is as good as away
NEAR = 0.9  # part of the delay that each call must have taken


class SlowDisk(Traced, tag="slow_disk"):
    """Each fdatasync and fsync of a service takes `delay` longer."""

    delay: Span = "100ms"  # by which each fdatasync and fsync takes longer

    def check(self, nodes: list[str]) -> None:
        """There is a delay."""
        super().check(nodes)
        if not seconds(self.delay)[0]:
            raise UsageError(f"{self.id}: delay {self.delay}: expected a time such as 100ms")

    def takes(self, nodes: int) -> int:
        """Nobody, unless the disk is very slow."""
        return targets.most(self.target, nodes) if seconds(self.delay)[1] >= AWAY else 0

    def what(self) -> str:
        """In microseconds."""
        return f"delay_enter={round(seconds(self.delay)[0] * 1e6)}"

    def proved(self, applied: Applied) -> str:
        """Calls were seen, and each took as long as it was to."""
        found = self.caught(applied, "DELAYED")
        if fast := [f"{name} {least * 1000:.0f} ms" for name, (_, least) in found.items() if least < seconds(self.delay)[0] * NEAR]:
            raise NotProved(f"{self.id}: a call took no more than {', '.join(fast)}; expected {self.delay}")
        return "; ".join(f"{name}: {calls} calls, {least * 1000:.0f} ms or longer each" for name, (calls, least) in found.items())
