# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workload `set`: every write adds a key that must stay. What a client added is read again by all, at any time."""

from __future__ import annotations

import random

from nodewise.model import Operation
from nodewise.simulation.workloads.client import Operations

checkers = ("durable", "once", "no_phantom", "linearizable", "traffic")
deadline = 5.0
asks = frozenset(("add",))
RECENT = 50  # of a client's additions are read again: what was added just now is what a failover may lose


def operations(seed: int, process: int, clients: int, keys: int, prefix: str) -> Operations:
    """Endless operations of one client, the same for the same seed: two additions to a read of one of its own. No key is shared."""
    del clients, keys
    choose, number = random.Random(f"{seed}/{process}"), 0
    while True:
        if number and not choose.randrange(3):
            known = choose.randint(max(1, number - RECENT + 1), number)
            yield Operation(process, "invoke", "read", f"{prefix}a{process}.{known}", None, 0)
        else:
            number += 1
            yield Operation(process, "invoke", "add", f"{prefix}a{process}.{number}", f"{process}.{number}", 0)
