# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `balanced`: transfers happen whole or not at all, and no money comes or goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import Attempt, attempts

NAME = "balanced"


def balanced(history: Sequence[Operation]) -> Verdict:
    """Whoever saw all accounts saw the sum of the first deposit; in the end, on each node, the ledger explains each balance.

    The ledger has every transfer that was acknowledged, none that certainly failed, and none more often than it was tried. Unknown
    when no transfer was acknowledged, when nobody saw the accounts, or when a node was not read in the end.
    """
    did = attempts(history)
    deposits = [one for one in did if one.asked.f == "deposit"]
    if not deposits:
        return Verdict(NAME, "unknown", "there was no first deposit: nothing to judge by")
    first = {str(key): int(value) for key, value in deposits[0].asked.value.items()}
    paid = min((one.until for one in deposits), default=float("inf"))
    looks = [one for one in did if one.asked.f == "balances" and one.ok]
    finals: dict[Any, list[Attempt]] = {}
    for one in did:
        if one.asked.final:
            finals.setdefault(one.asked.node, []).append(one)
    transfers = [one for one in did if one.asked.f == "transfer"]
    wrong = [found for look in looks for found in _look(first, paid, look)]
    wrong += [found for node, reads in finals.items() for found in _ledger(first, transfers, node, reads)]
    if wrong:
        return Verdict(NAME, "invalid", f"wrong balances: {len(wrong)} ({wrong[0][0]})", [done for _, done in wrong if done])
    if doubt := _doubt(transfers, looks, finals):
        return Verdict(NAME, "unknown", doubt)
    says = f"wrong balances: 0 (seen {len(looks)} times, after {sum(one.ok for one in transfers)} acknowledged transfers)"
    return Verdict(NAME, "valid", says)


def _look(first: dict[str, int], paid: float, look: Attempt) -> Iterator[tuple[str, Operation | None]]:
    """What is wrong with all accounts as they were seen at once. Before the deposit, and on a replica, there may be none."""
    found, stale = look.value or {}, bool(look.done and look.done.stale)
    if not found and (stale or look.asked.time < paid):
        return
    total, lowest = sum(found.values()), min(found.values(), default=0)
    if total != sum(first.values()) or found.keys() != first.keys():
        yield f"{len(found)} accounts with {total} in all through {look.asked.node}; there are {_words(first)}", look.done
    elif lowest < 0:
        yield f"an account with {lowest} through {look.asked.node}", look.done


def _ledger(
    first: dict[str, int], transfers: list[Attempt], node: object, reads: list[Attempt]
) -> Iterator[tuple[str, Operation | None]]:
    """What is wrong with the balances and the ledger of one node in the end; what was not read there is not known to be wrong."""
    if not all(one.ok for one in reads):
        return
    last = {one.asked.key: one.done for one in reads}
    booked = Counter(one.asked.key for one in reads if one.value is not None and one.asked.key not in first)
    expected = Counter(first)
    tried: dict[Any, list[Attempt]] = {}
    for one in transfers:
        tried.setdefault(one.asked.key, []).append(one)
    for key, tries in tried.items():
        times, about = booked.pop(key, 0), tries[0].asked.value
        possible = sum(not one.failed for one in tries)
        if times > possible or (times == 0 and any(one.ok for one in tries)):
            yield f"transfer {key} is booked {times} times on {node}, and may have happened {possible} times", last.get(key)
        expected[about["from"]] -= about["amount"] * times
        expected[about["to"]] += about["amount"] * times
    yield from ((f"{key} is booked on {node}, and is no transfer of anybody", last[key]) for key in booked)
    there = {one.asked.key: one.value for one in reads if one.asked.key in first}
    off = [key for key in there if there[key] is None or int(there[key]) != expected[key]]
    if off:
        yield f"{off[0]} has {there[off[0]]} on {node}; the ledger there says {expected[off[0]]}", last[off[0]]


def _doubt(transfers: list[Attempt], looks: list[Attempt], finals: dict[Any, list[Attempt]]) -> str | None:
    """Why it cannot be said that nothing is wrong, or None."""
    if not any(one.ok for one in transfers):
        return "no transfer was acknowledged: nothing to judge"
    if not looks:
        return "nobody saw all accounts: nothing to judge"
    if not finals:
        return "no final reads: what is still there was not looked at"
    silent = sorted(str(node) for node, reads in finals.items() if not all(one.ok for one in reads))
    return f"accounts and ledger were not read through {', '.join(silent)} after the workload" if silent else None


def _words(first: dict[str, int]) -> str:
    return f"{len(first)} with {sum(first.values())}"
