# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long this cluster's own earlier runs took: what a batch took, and what comes once, or once a hop."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import msgspec

from nodewise.errors import NodewiseError
from nodewise.model import STAYING, Kind, Plan, good
from nodewise.record.journal import Record
from nodewise.record.run import Run

RUNS = 3  # the last ones: what was long ago is of other data and other machines
ASIDE = ("soak", "wait")  # steps of a node whose time is another one each time


class Took(msgspec.Struct):
    """Seconds: of each batch without soaks and waits, of what comes once (a backup), and of what comes with each hop."""

    runs: int
    batches: list[float]
    once: float
    hop: float

    def of(self, plan: Plan) -> float:
        """How long a plan takes, when its batches take what batches took."""
        hops = len({batch.to for batch in plan.batches})
        return self.once + hops * (self.hop + plan.settings.soak) + len(plan.batches) * mean(self.batches)


def earlier(folder: Path, cluster: str, component: str = "", kind: Kind = "upgrade") -> Took | None:
    """What the last runs of a cluster took that ended well, of those beside a run's folder; None where there are none.

    A run in which an operator was asked says nothing: nobody knows how long that took.
    """
    found: list[Took] = []
    for path in sorted(folder.parent.glob("*/run.json"), reverse=True):
        if path.parent != folder and len(found) < RUNS and (one := _took(Run(path.parent), cluster, component, kind)):
            found.append(one)
    if not found:
        return None
    batches = [seconds for one in found for seconds in one.batches]
    return Took(len(found), batches, mean(one.once for one in found), mean(one.hop for one in found))


def _took(run: Run, cluster: str, component: str, kind: Kind) -> Took | None:
    try:
        about = run.read_json("run.json")
        mine = (about.get("cluster"), about.get("component") or "") == (cluster, component)
        alike = about.get("kind") == kind or not {about.get("kind"), kind} & set(STAYING)
        ended = run.outcome() if mine and alike else None
        return _told(run.records()) if ended and good(about.get("kind"), ended[0]) else None
    except (NodewiseError, KeyError, TypeError):  # an older record that does not say it is none
        return None


def _told(records: list[Record]) -> Took | None:
    phases = [one for one in records if one["kind"] == "step" and one["phase"] == "end" and not one.get("node")]
    spent = {name: sum(one["duration_s"] for one in phases if one["step"] == name) for name in ("secure", "stage", "finalize")}
    hops, batches = sum(one["step"] == "roll" for one in phases), _batches(records)
    if not batches or not hops or any(one.get("asks") for one in records):
        return None
    return Took(1, batches, spent["secure"], (spent["stage"] + spent["finalize"]) / hops)


def _batches(records: list[Record]) -> list[float]:
    """Seconds of each batch: until the next one begins, or the roll ends."""
    took: list[float] = []
    began, aside = 0, 0.0
    for one in records:
        over = one["kind"] == "step" and one["phase"] == "end" and one["step"] == "roll"
        if began and (over or "batch" in one):
            took.append((one["t"] - began) / 1e9 - aside)
            began = 0
        if "batch" in one:
            began, aside = one["t"], 0.0
        elif one["kind"] == "step" and one["phase"] == "end" and one["step"] in ASIDE and one.get("node"):
            aside += one["duration_s"]
    return took
