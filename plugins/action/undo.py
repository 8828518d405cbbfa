# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a failed step may be taken back, decided from an observation at that moment."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, halt, judge_step, roll, run_of


class ActionModule(EngineAction):
    """Say what takes the current node back to its old version, or why nothing may; and judge whether it is back."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, node = run_of(task_vars), self.host(task_vars)
        if args["state"] == "begun":
            return self.begin(run, node)
        return self.end(run, node, args["why"])

    def begin(self, run: Any, node: str) -> dict[str, Any]:
        """Resolve the undo from the last observation."""
        made, begun = run.read_plan(), run.hop()
        hop, group = made.hops[begun["hop"]], made.group_of(node)
        seen, why = run.observations()[group], f"{node}: {run.failure()}"
        if alone := roll.cut_off(seen, node):
            return halt(run, "paused", f"{why}\n{node} was not put back: {alone}", "member_cut_off")
        if data := roll.diverged(seen):
            return halt(run, "paused", f"{why}\n{node} was not put back, which would not fix it: {data}", "data_differs")
        if against := roll.why_not_back(hop, begun["acts_as"][group], seen):
            unknown = seen.cluster.version is None
            outcome = "paused" if unknown else "intervention_required"
            return halt(run, outcome, f"{why}\n{node} was not put back: {against}", "cannot_go_back")
        names = {step.name for step in made.steps}
        steps = {r["step"] for r in run.records("step", "begin") if r.get("node") == node and r["seq"] > begun["seq"]} & names
        run.begin("undo", node=node)
        return {"ansible_facts": {"nodewise_step": roll.undo(made, node, old_version(run, node), steps or names)}}

    def end(self, run: Any, node: str, why: str) -> dict[str, Any]:
        """Back on the old version with a healthy cluster, or a case for a human."""
        old = old_version(run, node)
        off = why or judge_step(run, roll.BACK, node, old)
        failure = f"{node}: {run.failure()}"
        run.end("undo", ok=not off, node=node, **({"error": str(off)} if off else {}))
        if off:
            outcome = roll.stuck(run.observations()[run.read_plan().group_of(node)], node)
            return halt(run, outcome, f"{failure}\nIt could not be put back on {old}: {off}", "undo_failed")
        text = f"{failure}\nIt is back on {old} and the cluster is healthy"
        return halt(run, "rolled_back", text) if run.read_plan().kind == "upgrade" else halt(run, "paused", text, "step_failed")


def old_version(run: Any, node: str) -> str:
    """What the node ran before its batch; before the hop, when the batch was only to watch it."""
    made, hop = run.read_plan(), run.hop()["hop"]
    was = next(m.version for seen in run.before_batch().values() for m in seen.members if m.name == node)
    return str(was if was != made.hops[hop].to else made.hops[hop].start)
