# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workload `cas`: registers that all clients change by compare-and-set, from the value that they saw last to one of their own.

Every value is written once in a run and never comes back, so the changes of a register are a chain, and which came first is known
without a search. A client that was overtaken is refused, and looks again.
"""

from __future__ import annotations

import random

from nodewise.model import Operation
from nodewise.simulation.workloads.client import Operations

checkers = ("durable", "no_phantom", "monotonic", "chain", "linearizable", "traffic")
deadline = 5.0
asks = frozenset({"cas"})


def operations(seed: int, process: int, clients: int, keys: int, prefix: str) -> Operations:
    """Endless operations of one client: a look at a register that it has not seen since its own last change, or a change."""
    del clients
    choose, seen, number = random.Random(f"{seed}/{process}"), dict[str, object](), 0
    while True:
        key = f"{prefix}k{choose.randrange(keys)}"
        if key not in seen or not choose.randrange(3):
            done = yield Operation(process, "invoke", "read", key, None, 0)
        else:
            number += 1
            done = yield Operation(process, "invoke", "cas", key, f"{process}.{number}", 0, old=seen.pop(key))
        if done and done.type == "ok":
            seen[key] = done.value
