# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module release_wait as a step of the current node; whoever still installs packages there in the end pauses the run."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, halt, run_of


class ActionModule(EngineAction):
    """Wait before anything of the node is changed: what is in the way is no failure of the release."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, node = run_of(task_vars), self.host(task_vars)
        run.begin("wait", node=node)
        answer = self.patiently("nodewise.cluster.release_wait", args, task_vars, args["wait_s"])
        held = answer.get("held")
        if held is None:
            why = str(answer.get("msg") or "the module ended without a message")
        else:
            why = "; ".join(f"{path} is held by {who}" for path, who in held.items())
        run.end("wait", ok=not why, node=node, **({"error": why} if why else {}))
        if not why:
            return {}
        text = (
            f"{node}: {why}, after {args['wait_s']:g} s. Nothing of {node} was changed, and the cluster is healthy.\n"
            "Wait for its end, or end it, then run the same command again; nodewise_package_wait says how long is waited"
        )
        return halt(run, "paused", text, "packages_busy")
