# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `slow_cpu`: a service gets a part of a processor, and no more."""

from __future__ import annotations

from typing import ClassVar

from nodewise.errors import UsageError
from nodewise.simulation.faults.fault import Applied
from nodewise.simulation.faults.host import NotProved
from nodewise.simulation.faults.limited import Limited

PERIOD = 100_000  # microseconds over which the kernel counts
LEAST = 0.01  # the kernel gives no less than a millisecond
NEAR = 1.5  # times the share that a probe may get: it begins in the middle of a period
SPIN = """import time
began, used = time.monotonic(), time.process_time()
while time.monotonic() - began < 0.5: pass
print((time.process_time() - used) / (time.monotonic() - began))"""


class SlowCpu(Limited, tag="slow_cpu"):
    """All processes of a service together get `share` of one processor."""

    share: float = 0.1  # the part of one processor that it gets

    controller: ClassVar[str] = "cpu"

    def check(self, nodes: list[str]) -> None:
        """The kernel can give as little."""
        super().check(nodes)
        if not LEAST <= self.share <= 1:
            raise UsageError(f"{self.id}: share {self.share}: expected a part of a processor, from {LEAST} to 1")

    def limits(self) -> dict[str, int]:
        """A quota in each period."""
        return {"cpu.cfs_period_us": PERIOD, "cpu.cfs_quota_us": round(self.share * PERIOD)}

    def proved(self, applied: Applied) -> str:
        """A program that spins beside the service gets no more than the share."""
        got = {name: float(said) for name, said in self.probed(applied, SPIN).items()}
        if fast := [f"{name} {share:.0%}" for name, share in got.items() if share > self.share * NEAR]:
            raise NotProved(f"{self.id}: a probe got {', '.join(fast)} of a processor; expected {self.share:.0%}")
        return "; ".join(f"{name}: {share:.0%} of a processor for a probe" for name, share in got.items())
