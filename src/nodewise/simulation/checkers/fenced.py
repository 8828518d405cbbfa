# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `fenced`: who held a lock before does not write any more once somebody has written who holds it now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.attempts import Attempt, attempts

NAME = "fenced"


def fenced(history: Sequence[Operation]) -> Verdict:
    """Tokens rise from one holder of a lock to the next, and no write is accepted after one with a higher token.

    Only what was over before the other began counts as before it. Unknown when no guarded write was acknowledged.
    """
    took: dict[Any, list[tuple[int, Attempt]]] = defaultdict(list)
    wrote: dict[Any, list[tuple[int, Attempt]]] = defaultdict(list)
    for one in attempts(history):
        if one.ok and one.asked.f == "acquire":
            took[one.asked.key].append((int(one.value), one))
        elif one.ok and one.asked.f == "guarded":
            wrote[one.asked.key].append((int(one.asked.old), one))
    if not wrote:
        return Verdict(NAME, "unknown", "no guarded write was acknowledged: nothing to judge")
    wrong = [pair for found in wrote.values() for pair in _backwards(found, least=0)]
    again = [pair for found in took.values() for pair in _backwards(found, least=1)]
    if wrong or again:
        (_, before), (token, after) = (wrong or again)[0]
        what = "written with" if wrong else "given"
        says = f"{after.asked.key} was {what} token {token} by process {after.asked.process} through {after.asked.node}, after"
        says = f"{says} {_token(before)} by process {before.asked.process}"
        evidence = [one.done for pair in (*wrong, *again) for _, one in pair if one.done]
        return Verdict(NAME, "invalid", f"tokens that went back: {len(wrong) + len(again)} ({says})", evidence)
    writes, holders = sum(map(len, wrote.values())), sum(map(len, took.values()))
    return Verdict(NAME, "valid", f"tokens that went back: 0 (of {writes} guarded writes by {holders} holders)")


def _backwards(found: Iterable[tuple[int, Attempt]], least: int) -> list[tuple[tuple[int, Attempt], tuple[int, Attempt]]]:
    """Pairs of which the later one has a token that is not at least so much higher than the earlier one's."""
    ended = sorted(found, key=lambda pair: pair[1].until)
    wrong, highest, at = [], None, 0
    for pair in sorted(ended, key=lambda pair: pair[1].asked.time):
        while ended[at][1].until < pair[1].asked.time:
            highest = max(highest or ended[at], ended[at], key=lambda one: one[0])
            at += 1
        if highest and pair[0] < highest[0] + least:
            wrong.append((highest, pair))
    return wrong


def _token(one: Attempt) -> int:
    return int(one.value if one.asked.f == "acquire" else one.asked.old)
