# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workload `lock`: clients that take a lock with a lease, and write to what it guards with the token that they were given.

Now and then one does nothing for longer than its lease lasts, as a process that was paused: another one may have the lock then, and
what the sleeper writes with its old token must be refused.
"""

from __future__ import annotations

import random

from nodewise.model import Operation
from nodewise.simulation.workloads.client import Operations

checkers = ("fenced", "traffic")
deadline = 5.0
asks = frozenset({"acquire", "guarded", "release", "idle"})
LOCKS = 3  # few, so that clients meet
SLEEP = 3.0  # seconds: longer than the lease of a lock
SLEEPY = 20  # of so many holders one falls asleep


def operations(seed: int, process: int, clients: int, keys: int, prefix: str) -> Operations:
    """Endless operations of one client: it tries for a lock, and where it has it, writes, looks and lets go."""
    del clients, keys
    choose, number = random.Random(f"{seed}/{process}"), 0
    while True:
        which, number = choose.randrange(LOCKS), number + 1
        lock, resource = f"{prefix}lock{which}", f"{prefix}r{which}"
        done = yield Operation(process, "invoke", "acquire", lock, f"{process}.{number}", 0)
        if not done or done.type != "ok":
            continue
        if not choose.randrange(SLEEPY):
            yield Operation(process, "invoke", "idle", lock, SLEEP, 0)
        for _ in range(choose.randint(1, 3)):
            number += 1
            yield Operation(process, "invoke", "guarded", resource, f"{process}.{number}", 0, old=done.value)
        yield Operation(process, "invoke", "read", resource, None, 0)
        yield Operation(process, "invoke", "release", lock, None, 0, old=done.value)
