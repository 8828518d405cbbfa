# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run as one summary, from its journal: for people, for programs (summary.json) and for a CI system (junit.xml)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from nodewise.errors import NodewiseError
from nodewise.gates.judgement import near
from nodewise.model import good
from nodewise.record import junit
from nodewise.record.journal import Record
from nodewise.record.run import Run
from nodewise.text import cut

Made = TypeVar("Made")
HARMLESS = ("probe", "plan", "secure", "stage", "roll", "wait", "settle", "smoke")  # steps that change nothing that runs


def decide(run: Run, silent: Sequence[str] = ()) -> None:
    """Decide the outcome of a run that came to its end, or that ended in the middle without a decision.

    `silent` are members that did not answer when they were looked at.
    """
    if run.outcome():
        return
    if changed(run):
        run.conclude("interrupted", midway(run), "interrupted")
    elif silent:
        run.conclude("refused", f"{', '.join(silent)} did not answer; every member must be reachable before one is changed")
    else:
        run.conclude("refused", "the run ended before anything was changed; the reason is above")


def midway(run: Run) -> str:
    """In the middle of what a run ended: of each node the last step that was begun and whose end nobody saw."""
    begun = {r.get("node"): r["step"] for r in run.records("step", "begin")}
    ended = {(r.get("node"), r["step"]) for r in run.records("step", "end") if r.get("node")}
    open_ = [f"{step} of {node}" for node, step in begun.items() if node and step not in HARMLESS and (node, step) not in ended]
    over = {r["step"] for r in run.records("step", "end")}
    open_ += [f"{r['step']} of the cluster" for r in run.records("step", "begin") if r.get("cluster") and r["step"] not in over]
    if open_:
        return f"the run ended in the middle of {', '.join(open_)}, whose end was not seen"
    return "the run ended between two changes" if changed(run) else "the run ended before anything was changed"


def changed(run: Run) -> bool:
    """Whether a step was begun that changes what runs."""
    return any(r.get("cluster") or (r.get("node") and r["step"] not in HARMLESS) for r in run.records("step"))


def worth_collecting(run: Run) -> bool:
    """Whether logs and state of the nodes are evidence: the run did not end well, and had begun to work on nodes."""
    outcome = run.outcome()
    ended_well = outcome and good(run.read_json("run.json").get("kind"), outcome[0])
    return bool(outcome and not ended_well and any(r.get("node") for r in run.records("step", "begin")))


def summarize(run: Run, **more: Any) -> dict[str, Any]:
    """Write summary.json and junit.xml from the journal and return the summary; keeps what others added (the workload's).

    What cannot be read or written does not keep the end from being told: `unwritten` has a line for each.
    """
    unwritten: list[str] = []
    earlier: dict[str, Any] = attempt(unwritten, lambda: run.read_json("summary.json"), {})
    summary = {**earlier, **summary_of(run), **more}
    attempt(unwritten, lambda: junit.put(run.folder, {run.id: cases(run.records("gate"), summary)}), None)
    attempt(unwritten, lambda: run.write_json("summary.json", {**summary, "unwritten": unwritten}), None)
    return {**summary, "unwritten": unwritten}


def attempt(unwritten: list[str], act: Callable[[], Made], instead: Made) -> Made:
    """What something returns that reads or writes a record; where it fails, `instead`, and a line more that says why."""
    try:
        return act()
    except NodewiseError as problem:
        unwritten.append(str(problem))
    except Exception as problem:  # noqa: BLE001  whatever it is, how the run ended is told
        unwritten.append(f"{type(problem).__name__}: {problem}")
    return instead


def summary_of(run: Run) -> dict[str, Any]:
    """The journal as one summary. A journal without a decision is an interrupted run: unknown, and so no good outcome."""
    records = run.records()
    about = run.read_json("run.json")
    ends = [r for r in records if r["kind"] == "step" and r["phase"] == "end"]
    asked = [r for r in records if r["kind"] == "gate"]
    outcome, reason = run.outcome() or ("interrupted", midway(run))
    last = [member for seen in run.observations().values() for member in seen.members]
    return {
        "run_id": run.id,
        "kind": about.get("kind"),
        "cluster": about.get("cluster"),
        "system": about.get("system"),
        "component": about.get("component") or "",
        "from": about.get("from") or run.running_before(),
        "to": about.get("to"),
        "plan": about.get("plan"),
        "outcome": outcome,
        "reason": reason,
        "reason_code": run.reason_code() or (None if run.outcome() else "interrupted"),
        "duration_s": round((records[-1]["t"] - records[0]["t"]) / 1e9, 3) if records else 0.0,
        "phases": _phases(ends),
        "nodes": {
            m.name: {"version": m.version, "role": m.role, "serving": m.serving, "seconds": _seconds(ends, m.name)} for m in last
        },
        "gates": {"passed": sum(r["ok"] for r in asked), "failed": sum(not r["ok"] and not r.get("waived") for r in asked)},
        "waived": _waived(records, asked),
        "change": about.get("change") or "",
        "near_misses": _near_misses(asked),
        "backups": [r["backup"] for r in records if "backup" in r],
    }


def cases(asked: list[Record], summary: dict[str, Any]) -> list[junit.Case]:
    """Gates as test cases, and the outcome as one more: a CI system shows what failed and why."""
    # A suite's gates are about its cases, and none themselves: one that failed is what shows that too few were tried.
    told = [_case(r, r.get("node") or summary["cluster"]) for r in asked if not (r.get("smoke") and r["ok"])]
    well = good(summary["kind"], summary["outcome"])
    reason = cut(f"{summary['outcome']}: {summary['reason']}", 1000)
    return [*told, junit.Case("nodewise", "outcome", "pass" if well else "fail", reason)]


def _case(r: Record, where: str) -> junit.Case:
    waived = f"waived ({r['waived']}), " if r.get("waived") else ""
    says = cut(f"{waived}{r['fail_msg']}: {r.get('found')}", 1000)
    return junit.Case("nodewise", f"{where}: {r['gate']}", "pass" if r["ok"] else "skip" if waived else "fail", says)


def _waived(records: list[Record], asked: list[Record]) -> list[Record]:
    """What an operator let pass: each waiver with who gave it, why and when (UTC), and how often its gate did not hold."""
    said = [r for r in records if "waives" in r]
    times = {r["waives"]: sum(r["waives"] == one["gate"] and bool(one.get("waived")) for one in asked) for r in said}
    at = {r["waives"]: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(r["t"] / 1e9)) for r in said}
    return [
        {"name": r["waives"], "reason": r["reason"], "who": r["who"], "at": at[r["waives"]], "times": times[r["waives"]]}
        for r in said
    ]


def _near_misses(asked: list[Record]) -> list[Record]:
    """Gates that passed within a tenth of their bound: of each, and each node, the closest."""
    closest: dict[tuple[Any, Any], Record] = {}
    for one in sorted((r for r in asked if r["ok"] and near(r)), key=lambda r: -abs(r["measured"] - r["bound"])):
        closest[one["gate"], one.get("node")] = {key: one.get(key) for key in ("gate", "node", "measured", "bound")}
    return list(closest.values())


def _phases(ends: list[Record]) -> dict[str, float]:
    """Seconds of each phase; those of several hops are added up."""
    took: dict[str, float] = {}
    for record in ends:
        if not record.get("node"):
            took[record["step"]] = round(took.get(record["step"], 0.0) + record["duration_s"], 3)
    return took


def _seconds(ends: list[Record], node: str) -> float:
    took = [
        float(r["duration_s"]) for r in ends if r.get("node") == node and r["step"] not in ("secure", "stage", "wait", "settle")
    ]
    return round(sum(took), 3)
