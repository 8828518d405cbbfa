# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the run ended, in summary.json and in the last lines; the task fails unless the outcome is good."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    ahead,
    attempt,
    change,
    decide,
    ending,
    good,
    memory,
    plain,
    run_of,
    summarized,
    worth_collecting,
)

WAITING = ("approval_needed", "window_closed")  # what a run is paused for that only waits


class ActionModule(EngineAction):
    """Decide how the run ended; then write the summary and judge the run by it."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run = run_of(task_vars)
        if args["state"] == "decided":
            hosts = [task_vars["hostvars"][name] for name in task_vars["nodewise_run"]["members"]]
            silent = [host["inventory_hostname"] for host in hosts if not host.get("nodewise_node")]
            attempt([], lambda: decide(run, silent), None)  # what cannot be written down is told all the same, by the next task
            collect, held = worth_collecting(run), any((host.get("nodewise_lease") or {}).get("granted") for host in hosts)
            if collect or held or (run.outcome() or ("",))[0] != "refused":
                return {"ansible_facts": {"nodewise_collect": collect, "nodewise_step": {}}}
        said = summarized(run, ways=attempt([], lambda: self.ways(run, task_vars), {}))
        waits = args["pause_is_ok"] and said["outcome"] == "paused" and said["reason_code"] in WAITING
        return self.conclusion(said, ending(said, run.folder), ok=good(said["kind"], said["outcome"]) or waits)

    def ways(self, run: Any, task_vars: dict[str, Any]) -> dict[str, str]:
        """Why going on, or back, would be refused now; nothing for a run that came to no plan, or was not let in."""
        about = plain(task_vars["nodewise_run"])
        leases = {name: plain(task_vars["hostvars"][name].get("nodewise_lease") or {}) for name in about["members"]}
        if not (run.folder / "plan.yaml").exists() or not any(one.get("run") == run.id for one in leases.values()):
            return {}
        rules, declared = self.rules(task_vars, {}, about["component"]), self.declared(task_vars, about["component"])
        declared, component = change.declared_for(declared, about["kind"]), memory.about(about["component"], about["kind"])
        records = {name: memory.record_of(one.get("state"), component) for name, one in leases.items()}
        return dict(ahead.ways(rules, declared, records, run.read_plan(), run))
