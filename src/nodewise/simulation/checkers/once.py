# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `once`: what was added is not there more often than it was added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import reads, writes

NAME = "once"


def once(history: Sequence[Operation]) -> Verdict:
    """Through every node, each key is there at most as often as attempts to add it may have happened.

    An attempt that certainly failed did not happen; one that ended `info` may have, so a client that tried again may find two. Only
    a system that keeps a key twice can break it. Unknown when nothing that was added was read in the end.
    """
    adds = {key: [a for a in found if a.asked.f == "add"] for key, found in writes(history).items()}
    possible = {key: sum(not a.failed for a in found) for key, found in adds.items() if found}
    there = [read for read in reads(history, final=True) if read.ok and read.value is not None and read.asked.key in possible]
    if not there:
        return Verdict(NAME, "unknown", "nothing that was added was read in the end: nothing to judge")
    times = Counter((read.asked.key, read.asked.node) for read in there)
    twice = [(*where, count) for where, count in times.items() if count > possible[where[0]]]
    if not twice:
        return Verdict(NAME, "valid", f"rows that are there too often: 0 (of {len({key for key, _ in times})} that were added)")
    keys, (key, node, count) = {key for key, _, _ in twice}, twice[0]
    evidence = [read.done for read in there if read.done and read.asked.key in keys]
    told = f"{key} is there {count} times through {node}, and was added {possible[key]} times at most"
    return Verdict(NAME, "invalid", f"rows that are there too often: {len(keys)} ({told})", evidence)
