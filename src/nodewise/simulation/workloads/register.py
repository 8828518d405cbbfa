# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workload `register`: registers that one client each writes to and all read, and keys that are added once and must stay.

Every value is written once in a run, so a value that is read names its write. Each register has a single writer, whose writes
follow each other, so that which write is the last one is known without a search through interleavings.
"""

from __future__ import annotations

import random

from nodewise.model import Operation
from nodewise.simulation.workloads.client import Operations

checkers = ("durable", "once", "no_phantom", "monotonic", "linearizable", "traffic")
deadline = 5.0
asks = frozenset(("write", "add"))


def operations(seed: int, process: int, clients: int, keys: int, prefix: str) -> Operations:
    """Endless operations of one client, the same for the same seed. Client p writes the registers k with k % clients == p."""
    choose = random.Random(f"{seed}/{process}")
    own = [f"{prefix}k{k}" for k in range(keys) if k % clients == process] or [f"{prefix}k{keys + process}"]
    everyone = [f"{prefix}k{k}" for k in range(keys)]
    number = 0
    while True:
        kind = choose.choices(("write", "read", "add"), weights=(5, 4, 1))[0]
        number += 1
        if kind == "read":
            yield Operation(process, "invoke", "read", choose.choice(everyone), None, 0)
        elif kind == "write":
            yield Operation(process, "invoke", "write", choose.choice(own), f"{process}.{number}", 0)
        else:
            yield Operation(process, "invoke", "add", f"{prefix}a{process}.{number}", f"{process}.{number}", 0)
