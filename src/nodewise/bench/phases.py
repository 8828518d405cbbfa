# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the time of an upgrade goes, from its journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodewise.bench.figures import median

IN_A_PHASE = ("settle",)  # a step of the whole cluster that is no phase


def shares(records: Sequence[Mapping[str, Any]], began: int, ended: int) -> dict[str, float]:
    """Seconds of each phase, in order; together they are the whole time from `began` to `ended` (ns since the epoch).

    A phase lasts until the next one begins. `start` is from the command to the first of them, `end` from the last record.
    """
    begun = [r for r in records if (r["kind"], r["phase"]) == ("step", "begin") and not r.get("node")]
    marks = [("start", began), *((r["step"], r["t"]) for r in begun if r["step"] not in IN_A_PHASE)]
    marks += [("end", records[-1]["t"])] if records else []
    edges = [at for _name, at in marks] + [ended]
    return {name: round((edges[n + 1] - at) / 1e9, 3) for n, (name, at) in enumerate(marks)}


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each phase, in the order of the first run."""
    names = list(runs[0]) if runs else []
    return {name: round(median([run[name] for run in runs if name in run]) or 0.0, 3) for name in names}
