# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workload `bank`: money that clients move between accounts, in transactions that also keep a line of each transfer in a ledger.

Whoever looks at all accounts at once finds the same sum, and an account has what its first deposit and the ledger say.
"""

from __future__ import annotations

import random

from nodewise.model import Operation
from nodewise.simulation.workloads.client import Operations

checkers = ("balanced", "traffic")
deadline = 5.0
asks = frozenset({"deposit", "transfer", "balances"})
FIRST, MOST = 100, 20  # what an account has in the beginning, and what is transferred at most


def operations(seed: int, process: int, clients: int, keys: int, prefix: str) -> Operations:
    """Endless operations of one client, the same for the same seed: transfers and looks at all accounts; first of all a deposit."""
    del clients
    choose, number, accounts = random.Random(f"{seed}/{process}"), 0, [f"{prefix}account{n}" for n in range(max(2, keys))]
    if process == 0:
        yield Operation(process, "invoke", "deposit", f"{prefix}account", dict.fromkeys(accounts, FIRST), 0)
    while True:
        if choose.randrange(3):
            number += 1
            source, target = choose.sample(accounts, 2)
            about = {"from": source, "to": target, "amount": choose.randint(1, MOST)}
            yield Operation(process, "invoke", "transfer", f"{prefix}t{process}.{number}", about, 0)
        else:
            yield Operation(process, "invoke", "balances", f"{prefix}account", None, 0)
