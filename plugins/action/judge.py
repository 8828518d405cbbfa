# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates, asked of the last observation: all must be exactly true, or the task fails."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    Run,
    end_step,
    plain,
    run_of,
    soak,
)


class ActionModule(EngineAction):
    """Judge a step by its gates and end it in the journal."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run = run_of(task_vars)
        node = self.host(task_vars) if args["node"] else None
        hop = run.hop()
        made = run.read_plan()
        to = args["version"] or (made.hops[hop["hop"]].to if hop else made.to)
        watched = self.watched(run, to, task_vars) if args["name"] == "soak" else of_cluster(run, args["name"])
        successor = plain(task_vars.get("nodewise_step") or {}).get("successor")
        return {"ansible_facts": end_step(run, args["name"], args["gates"], node, to, successor=successor, **watched)}

    def watched(self, run: Run, to: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """What a soak is judged by: the node's own baseline, or an old member's when the node was new before the run began."""
        old = [member.name for seen in run.before_batch().values() for member in seen.members if member.version != to]
        if of := run.read_plan().change:  # whoever waited for it when the samples were taken
            old = sorted({*of.waiting, *run.reached(of.step)})
        host = self.host(task_vars)
        baseline = task_vars["hostvars"][host if host in old else old[0]].get("nodewise_baseline") if old else None
        return {"changed": False, "regressions": soak.regressions(plain(baseline), plain(task_vars.get("nodewise_soaked")))}


def of_cluster(run: Run, name: str) -> dict[str, Any]:
    """What a step of the cluster is compared with: what was seen before it began."""
    begun = [r["seq"] for r in run.records("step", "begin") if r["step"] == name and r.get("cluster")]
    return {"since": run.observations(begun[-1])} if begun else {}
