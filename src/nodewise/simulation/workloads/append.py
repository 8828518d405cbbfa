# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workload `append`: lists that all clients append to. A list that is read shows everything that came before, and in which order.

A list is text, its elements divided by commas. Every element is appended once in a run.
"""

from __future__ import annotations

import random

from nodewise.model import Operation
from nodewise.simulation.workloads.client import Operations

checkers = ("appended", "linearizable", "traffic")
deadline = 5.0
asks = frozenset({"append"})
LONGEST = 60  # operations on a list until clients go on with a new one: what is read grows with each


def operations(seed: int, process: int, clients: int, keys: int, prefix: str) -> Operations:
    """Endless operations of one client, the same for the same seed: as many reads as appends, on lists that it shares with all."""
    choose, number = random.Random(f"{seed}/{process}"), 0
    while True:
        generation = number * clients // (LONGEST * keys)
        number += 1
        key = f"{prefix}l{generation}.{choose.randrange(keys)}"
        if choose.randrange(2):
            yield Operation(process, "invoke", "append", key, f"{process}.{number}", 0)
        else:
            yield Operation(process, "invoke", "read", key, None, 0)
