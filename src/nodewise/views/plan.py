# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan in words: what an operator reads before saying yes."""

from __future__ import annotations

from collections.abc import Iterator

from nodewise.model import Change, Hop, Plan
from nodewise.record.took import Took


def estimate(plan: Plan, took: Took | None) -> str:
    """How long the plan takes, from what this cluster's earlier runs took; without one nobody knows."""
    if took is None:
        return f"unknown, as no earlier run of {plan.cluster} beside this one says what a batch takes"
    seconds = took.of(plan)
    least, most = min(took.batches), max(took.batches)
    each = f"{least:.0f} s" if round(least) == round(most) else f"{least:.0f} to {most:.0f} s"
    runs = "the last run" if took.runs == 1 else f"the last {took.runs} runs"
    soaked = " and the soak" if plan.settings.soak else ""
    return f"about {seconds:.0f} s: {len(plan.batches)} batches{soaked}; in {runs} a batch took {each}"


def describe(plan: Plan, took: Took | None = None, *, idle: bool = False) -> list[str]:
    """The plan as an operator reads it before saying yes, line by line, however long a line is.

    `took`: what this cluster's earlier runs took; `idle`: all is done already.
    """
    runs = ", ".join(f"{name} {version}" for name, version in sorted(plan.versions.items()))
    what = f"{plan.system}: {plan.component}" if plan.component else plan.system
    leads = f", which stays on {plan.to}" if plan.change else f" to {plan.to}"
    lines = [f"plan {plan.hash}: {plan.kind} of {plan.cluster} ({what}){leads}", _line("now", runs)]
    if idle:
        return [*lines, _line("time", "nothing to do")]
    if plan.change:
        lines += [_line(head, text) for head, text in _change(plan, plan.change)]
    else:
        way = " → ".join([hop.start for hop in plan.hops[:1]] + [hop.to for hop in plan.hops])
        lines.append(_line("way", way or "none: all are there"))
    for name, release in plan.recover.items():
        lines.append(_line("recover", f"{name}: brought back first, on {release.version}"))
    for hop in plan.hops:
        lines += _hop(plan, hop)
    lines += [_line(head, text) for head, text in _steps(plan)]
    lines += [_line(head, text) for head, text in _settings(plan)]
    lines.append(_line("end", f"asks {', '.join(plan.finalize.after)}"))
    limit = f"; no node is waited for longer than {plan.settings.deadline:g} s after a change"
    return [*lines, _line("time", f"{estimate(plan, took)}{limit}" if plan.batches else "nothing to do")]


def _change(plan: Plan, change: Change) -> Iterator[tuple[str, str]]:
    """What becomes different on each node."""
    done = [name for name in plan.members if name not in change.waiting]
    if change.since:
        yield "goes on", f"with what was begun at {change.since}; reached already: {', '.join(done) or 'nobody'}"
    if change.patch:
        yield "patch", f"on each node before its reboot: {change.patch}"
    for name, lines in sorted(change.shows.items()):
        for line in lines:
            yield "differs", f"{name}: {line}"


def _settings(plan: Plan) -> Iterator[tuple[str, str]]:
    """What an operator asked for besides, what is let pass, and what is not watched."""
    if plan.settings.max_unavailable != "1":
        yield "at once", f"{plan.settings.max_unavailable} of the members, after the first one; never more than can be spared"
    if plan.settings.soak:
        yield "soak", f"{plan.settings.soak:g} s on the first node of each hop, against samples taken before the first change"
    if plan.settings.suites:
        yield "smoke", f"{', '.join(plan.settings.suites)}: tier core on each node after its change, tier basic at the end"
    if plan.settings.deep_check:
        yield "deep check", "the data of every member, in depth, at the end"
    for name, reason in plan.settings.waive.items():
        yield "waived", f"{name}: {reason}"
    for gap in plan.gaps:
        yield "gap", gap


def _steps(plan: Plan) -> Iterator[tuple[str, str]]:
    """The steps of the cluster and of a node, in order, and what is not asked."""
    stays = "; a rollback leaves it" if plan.kind == "upgrade" else ""
    first = "the cluster, before the first node, unless it is done"
    told = [(step, f"{first}{'' if step.undo else stays}") for step in plan.before_first]
    told += [(step, "the leader only" if step.only == "leader" else "each node") for step in plan.steps]
    told += [(step, "the cluster, after the last node, unless it is done") for step in plan.after_last]
    for step, who in told:
        suites = ", and the core suites of every member" if step.suites and plan.settings.suites else ""
        yield step.name, f"{who}; then asks {', '.join(step.after)}{suites}" if step.after else who
    if plan.lacks:
        yield "not asked", f"{', '.join(plan.lacks)}: the system has none"


def _hop(plan: Plan, hop: Hop) -> Iterator[str]:
    for artifact in hop.release.artifacts:
        name, known = artifact.package or artifact.url.rsplit("/", 1)[-1], artifact.sha256[:12]
        yield _line("stage", f"{name}, sha256 {known}…, on every node" if known else f"{name}, as every node has it")
    if hop.back:
        names = ", ".join(artifact.package or artifact.url for artifact in hop.back.artifacts)
        yield _line("keep", f"{names or hop.back.version}: for going back, on every node")
    mine = [batch for batch in plan.batches if batch.to == hop.to]
    for number, batch in enumerate(mine, 1):
        yield _line(f"batch {number}", f"{', '.join(batch.nodes)}: {batch.reason}")
    if hop.no_return and mine:
        when = f"{hop.no_return.says}; asked for before it: -e nodewise_approve={plan.hash}"
        yield _line("no return", when)
    elif mine and not plan.change:
        yield _line("no return", f"never in {hop.start} → {hop.to}: the old version can be put back")


def _line(head: str, text: str) -> str:
    return f"  {head:{max(11, len(head) + 2)}}{text}"
