# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `no_panic`: no program on a node ended itself because it found something that cannot be."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.context import NOTHING, Context
from nodewise.text import cut

NAME = "no_panic"
# What Go and PostgreSQL, runtimes and kernels say then. A word alone is no panic: a setting may have it in its name.
PANIC = re.compile(
    r"\bpanic: |fatal error: |SIGSEGV|segfault at|goroutine \d+ \[running\]|assertion .*failed|TRAP: |"
    r"\"level\":\"(?:panic|fatal)\"",
    re.IGNORECASE,
)


def no_panic(_history: Sequence[Operation], context: Context = NOTHING) -> Verdict:
    """No log has a line of a program that panicked; unknown when no log was collected, or one is empty."""
    found = [(name, line) for name, log in sorted(context.logs.items()) for line in log.splitlines() if PANIC.search(line)]
    if found:
        name, line = found[0]
        return Verdict(NAME, "invalid", f"lines of a panic: {len(found)} (on {name}: {cut(line.strip(), 120)})")
    if not context.logs or not all(log.strip() for log in context.logs.values()):
        return Verdict(NAME, "unknown", "not every node's log was collected: nothing to judge by")
    return Verdict(NAME, "valid", f"lines of a panic: 0 (in the logs of {len(context.logs)} nodes)")
