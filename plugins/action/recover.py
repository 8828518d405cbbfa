# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member that is brought back before anything else is touched, as a step with gates."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    GateFailed,
    change,
    halt,
    included,
    judge_step,
    plain,
    run_of,
)


class ActionModule(EngineAction):
    """Begin to recover the current host, ask the gates afterwards, or end the run when it did not come back."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, node = run_of(task_vars), self.host(task_vars)
        made = run.read_plan()
        if args["state"] == "begun":
            run.begin("recover", node=node)
            step = {
                "name": "recover",
                "node": node,
                "version": args["release"]["version"],
                "release": args["release"],
                "settled": {
                    "serving": True,
                    **{trait: True for trait in ("leader", "fingerprint") if trait not in made.lacks},
                    "versions": {node: args["release"]["version"]},
                },
                "deadline": made.settings.deadline,
                # One that settings keep from starting is brought back with its former ones, and waits for its turn.
                "verbs": [included(made, verb) for verb in ([change.PUT_BACK] if made.kind == "configure" else []) + ["recover"]],
            }
            return {"ansible_facts": {"nodewise_step": step}}
        if args["state"] == "ended":
            about = plain(task_vars["nodewise_run"])
            ready = self.declared(task_vars, about["component"]).ready
            if failed := judge_step(run, ready, node, made.recover[node].version):
                raise GateFailed(failed)
            run.end("recover", ok=True, node=node)
            return {"ansible_facts": {"nodewise_step": {}}}
        if args["state"] == "failed":
            run.end("recover", ok=False, node=node, error=args["why"])
            return {"ansible_facts": {"nodewise_step": {}}}
        name = args["node"]
        if any(r["step"] == "recover" and r.get("node") == name and r["ok"] for r in run.records("step", "end")):
            return {}
        return halt(run, "paused", f"{name} did not come back, and no other member was touched: {run.failure()}", "recover_failed")
