# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `traffic`: enough happened for the other verdicts to mean something."""

from __future__ import annotations

from collections.abc import Sequence

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import READS, attempts

NAME = "traffic"
ENOUGH = 10  # acknowledged operations of each kind: fewer is no workload, only a client that got lucky


def traffic(history: Sequence[Operation]) -> Verdict:
    """At least ten acknowledged writes, of any kind, and ten answered reads while the workload ran; unknown otherwise."""
    done = [attempt.asked for attempt in attempts(history) if attempt.ok]
    wrote = sum(asked.f not in READS for asked in done)
    read = sum(asked.f in READS and not asked.final for asked in done)
    says = f"{wrote} acknowledged writes, {read} answered reads"
    if min(wrote, read) < ENOUGH:
        return Verdict(NAME, "unknown", f"{says}: expected at least {ENOUGH} of each to judge by")
    return Verdict(NAME, "valid", says)
