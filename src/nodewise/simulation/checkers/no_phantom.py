# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `no_phantom`: nothing is read that nobody wrote."""

from __future__ import annotations

from collections.abc import Sequence

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import reads, writers

NAME = "no_phantom"


def no_phantom(history: Sequence[Operation]) -> Verdict:
    """Every value that was read was asked to be written before the read ended, and did not certainly fail.

    Unknown when no read was answered.
    """
    wrote = writers(history)
    answered = [read for read in reads(history) if read.ok]
    if not answered:
        return Verdict(NAME, "unknown", "no read was answered: nothing to judge")
    phantoms = [
        read
        for read in answered
        if read.value is not None and not any(a.asked.time < read.until for a in wrote.get((read.asked.key, read.value), []))
    ]
    if not phantoms:
        return Verdict(NAME, "valid", f"phantom values: 0 (of {len(answered)} reads)")
    first = phantoms[0]
    evidence = [read.done for read in phantoms if read.done]
    return Verdict(
        NAME,
        "invalid",
        f"phantom values: {len(phantoms)} ({first.asked.key} = {first.value!r}, read through {first.asked.node}, is no write's)",
        evidence,
    )
