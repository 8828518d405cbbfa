# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs, row by row: worse only when threshold and test agree, and a regression only when a second measurement says so again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from nodewise.bench.figures import Report, Row, median
from nodewise.bench.significance import ALPHA, ENOUGH, p_greater
from nodewise.errors import UnknownResult, UsageError

Verdict = Literal["same", "better", "worse once, not confirmed", "worse (confirmed)", "too few samples"]


class Change(msgspec.Struct):
    """A row before and now, as medians. `by` is the relative change; None when it was 0 and is not any more.

    `p` is how probable it is that chance alone makes the samples differ this much in this direction; None of too few samples.
    `again` is the second measurement.
    """

    row: Row
    before: float
    now: float
    by: float | None
    p: float | None
    tolerated: float
    again: Change | None = None

    @property
    def worse(self) -> bool:
        """Threshold and test agree."""
        return self.p is not None and self.p <= ALPHA and (self.by is None or self.by > self.tolerated)

    @property
    def better(self) -> bool:
        """The same the other way round."""
        return self.p is not None and self.p <= ALPHA and self.by is not None and self.by < -self.tolerated

    @property
    def verdict(self) -> Verdict:
        """What is said of the row."""
        if self.p is None:
            return "too few samples"
        if self.worse:
            return "worse (confirmed)" if self.again and self.again.worse else "worse once, not confirmed"
        return "better" if self.better else "same"


def threshold(text: str) -> float:
    """`20%` or `0.2` as 0.2. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    if not found:
        raise UsageError(f"--threshold {text}: expected how much worse a figure may be, such as 20%")
    return float(found[1]) / (100 if found[2] else 1)


def compare(before: Report, now: Report, tolerated: float) -> list[Change]:
    """How the rows that both have changed; all figures are better when they are smaller.

    Raises UnknownResult when there is no such row, or when one that had a figure has none any more.
    """
    earlier = {row.name: row for row in [*before.rows, *now.before] if row.figure is not None}
    common = [row for row in now.rows if row.name in earlier]
    if not common:
        raise UnknownResult(f"nothing to compare: the earlier run has {', '.join(earlier) or 'no figures'}; measure the same rows")
    silent = [row.name for row in common if row.figure is None]
    if silent:
        raise UnknownResult(f"{', '.join(silent)} had a figure in the earlier run and has none now; it cannot be compared")
    return [change(earlier[row.name], row, tolerated) for row in common]


def change(before: Row, now: Row, tolerated: float) -> Change:
    """One row, before and now."""
    old, new = comparable(before, now)
    was, is_now = median(old) or 0.0, median(new) or 0.0
    by = (is_now - was) / was if was else (0.0 if is_now == was else None)
    enough = min(len(old), len(new)) >= ENOUGH
    p = (p_greater(old, new) if is_now < was else p_greater(new, old)) if enough else None
    return Change(now, was, is_now, by, p, tolerated)


def comparable(before: Row, now: Row) -> tuple[list[float], list[float]]:
    """The samples of both, each held against what was measured in its own round: a slower machine is no regression.

    Those that were held against the calibration are given as this machine has them.
    """
    if now.of == "ratio":
        return _ratios(before.nodewise, before.floor), _ratios(now.nodewise, now.floor)
    here = median(now.calibration)
    if not before.calibration or not here:
        return before.nodewise, now.nodewise
    return tuple([here * one for one in _ratios(row.nodewise, row.calibration)] for row in (before, now))  # type: ignore[return-value]


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round; a round in which theirs is 0 has none."""
    return [above / below for above, below in zip(ours, theirs, strict=False) if below]
