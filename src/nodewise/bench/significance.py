# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether samples differ by more than chance makes them: an exact rank-sum test (Wilcoxon, Mann and Whitney), one-sided."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from math import comb

ALPHA = 0.01  # of one row and one measurement; with a second measurement, one of 10,000 rows that did not change is called worse
ENOUGH = 6  # samples of each side: with six, 1 in 924 is the least that chance can be


def p_greater(these: Sequence[float], those: Sequence[float]) -> float:
    """How probable it is that chance alone makes `these` at least this much greater, when both are of one distribution.

    It is counted over all ways to deal the samples out, so ties are exact, too. No sample at all: 1.
    """
    values = sorted([*these, *those])
    rank = {value: bisect_left(values, value) + bisect_right(values, value) + 1 for value in values}  # twice the middle one
    ways = Counter({(0, 0): 1})  # (how many were drawn, the sum of their ranks) -> in how many ways
    for value in values:
        for (drawn, total), count in list(ways.items()):
            if drawn < len(these):
                ways[drawn + 1, total + rank[value]] += count
    found = sum(rank[value] for value in these)
    extreme = sum(count for (drawn, total), count in ways.items() if drawn == len(these) and total >= found)
    return extreme / comb(len(values), len(these))
