# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The next batch, resolved from the cluster as it is at that moment; and whether a batch ended well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    ApprovingAction,
    Paused,
    halt,
    msgspec,
    order,
    plain,
    roll,
    run_of,
    serving,
)


class ActionModule(ApprovingAction):
    """Begin the next batch, or end the current one."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if args["state"] == "waited":
            return {"ansible_facts": {"nodewise_halted": bool(run_of(task_vars).outcome())}}
        return self.begin(task_vars) if args["state"] == "begun" else self.end(task_vars)

    def begin(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Resolve the nodes, their steps and who takes over leadership."""
        run, about = run_of(task_vars), plain(task_vars["nodewise_run"])
        if run.outcome():  # the cluster is not ours any more
            return {"ansible_facts": {"nodewise_halted": True}}
        made, observations = run.read_plan(), run.observations()
        begun = run.hop()
        hop = made.hops[begun["hop"]]
        try:
            batch = roll.again(made, hop, observations, soaked(run, begun)) or roll.next_batch(made, hop, observations)
            if batch is None:
                return {"ansible_facts": {"nodewise_batch": {"nodes": []}}}
            refuse_late(about["window_end"], serving(run))
            if roll.crosses(made, hop, batch, observations) and self.approve(run, made, hop, task_vars):
                # Nobody knows how long the operator thought: the next batch looks at the cluster anew.
                return {"ansible_facts": {"nodewise_batch": {"nodes": []}}}
        except Paused as problem:
            return halt(run, "paused", str(problem), problem.reason_code)
        steps = {node: msgspec.to_builtins(some) for node, some in roll.steps_of(made, batch, observations).items()}
        number = 1 + sum("batch" in r and r["seq"] > begun["seq"] for r in run.records("note"))
        ahead = len([one for one in order.batches(made, observations) if one.to == hop.to])
        total = number - any(steps.values()) + ahead
        run.note(f"batch {number} of {total}: {', '.join(batch.nodes)}, {batch.reason}", batch=number, nodes=batch.nodes)
        canary = roll.first(made, hop, observations) or not any(steps.values())
        mixed = roll.mixed(made, hop, batch, observations, f"/nodewise/proof/{run.id}/")
        after = ["suites"] if made.settings.suites and any(steps.values()) else []
        after += ["soak"] if canary and made.settings.soak else []
        resolved = {
            "nodes": batch.nodes,
            "steps": steps,
            "checks": {node: [*(["mixed_version_check"] if node in mixed else []), *after] for node in batch.nodes},
            "successor": {node: roll.successor(made, batch, observations, node) for node in batch.nodes},
            "mixed": mixed,
            "soak": made.settings.soak,
            "watched": [*dict.fromkeys(name for step in made.steps for name in step.after), "node_undisturbed", "no_regression"],
        }
        return {"ansible_facts": {"nodewise_batch": resolved}}

    def end(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Go on only when every node of the batch ended each of its steps well: one that is silent was lost."""
        run, batch = run_of(task_vars), plain(task_vars["nodewise_batch"])
        if run.outcome():
            return {"ansible_facts": {"nodewise_halted": True}}
        if not batch["nodes"]:
            return {}
        since = max((r["seq"] for r in run.records("note") if "batch" in r), default=0)
        ended = {(r.get("node"), r["step"]) for r in run.records("step", "end") if r["ok"] and r["seq"] > since}
        lost = sorted(
            node
            for node in batch["nodes"]
            if any((node, name) not in ended for name in [*(step["name"] for step in batch["steps"][node]), *batch["checks"][node]])
        )
        if not lost:
            return {}
        return halt(
            run,
            "paused",
            f"{', '.join(lost)} was lost in the middle of its batch; no other member was touched.\n"
            "Bring it back, then run the same command again",
            "member_lost",
        )


def refuse_late(window_end: str, seen: str) -> None:
    """Raise Paused when the change window is over, with what was seen of the members."""
    if window_end and datetime.now().astimezone() >= datetime.fromisoformat(window_end):
        closed = window_end[:16].replace("T", " ")
        raise Paused(
            "window_closed",
            f"the change window closed at {closed}: no node is begun after it; {seen}.\nRun it again tomorrow",
        )


def soaked(run: Any, begun: dict[str, Any]) -> bool:
    """Whether a canary's soak ended well in the current hop."""
    return any(r["step"] == "soak" and r["ok"] and r["seq"] > begun["seq"] for r in run.records("step", "end"))
