# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Intents and results of steps: on disk before the change, and after it."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    begin_phase,
    halt,
    plain,
    planned,
    resolved,
    run_of,
    since,
)


class ActionModule(EngineAction):
    """Begin a step, or end it; of one node, or everywhere."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, name = run_of(task_vars), args["name"]
        node = self.host(task_vars) if args["node"] else None
        members = plain(task_vars["nodewise_run"]["members"])
        if args["state"] == "begun":
            batch = plain(task_vars.get("nodewise_batch") or {})
            run.begin(name, node=node)
            step = resolved(run, args["step"], node, (batch.get("successor") or {}).get(node))
            if node and step:
                made = run.read_plan()
                begins = made.kind != "reboot" and bool(made.change) and name == made.change.step
                step["since"] = since(made, task_vars, begins=begins)
            return {"ansible_facts": {"nodewise_step": {"name": name, "node": node, **step}}}
        if args["state"] == "phase_begun":
            begin_phase(run, name, members)
            return {}
        if args["state"] == "phase_done":
            return self.everywhere(run, name, members, plain(task_vars["ansible_play_hosts"]))
        if args["state"] == "planned":
            return planned(run, run.read_plan())
        run.end(name, ok=False, node=node, error=args["why"])
        return {"ansible_facts": {"nodewise_step": {"node": node} if node else {}}}

    def everywhere(self, run: Any, name: str, members: list[str], left: list[str]) -> dict[str, Any]:
        """End a phase. A node that is still in the play and did not fail has done it: the others wait for it at each task."""
        if run.outcome():
            return {"ansible_facts": {"nodewise_halted": True}}
        began = max(r["seq"] for r in run.records("step", "begin") if r["step"] == name and not r.get("node"))
        ends = [r for r in run.records("step", "end") if r["step"] == name and r["seq"] > began]
        failed = {r["node"]: str(r.get("error")) for r in ends if r.get("node")}
        bad = {node: failed.get(node, "no answer") for node in members if node in failed or node not in left}
        for node in members:
            if node not in bad:
                run.end(name, ok=True, node=node)
        if not bad:
            run.end(name, ok=True)
            return {}
        why = "\n".join(f"{', '.join(n for n in bad if bad[n] == error)}: {error}" for error in dict.fromkeys(bad.values()))
        run.end(name, ok=False, error=why)
        return halt(run, "refused", f"{name} failed on {why}")
