# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gates, asked of the last observation: all must be exactly true, or the task fails."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, GateFailed, judge_step, run_of


class ActionModule(EngineAction):
    """Judge a step by its gates and end it in the journal."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run = run_of(task_vars)
        node = self.host(task_vars) if args["node"] else None
        if args["gates"] and (failed := judge_step(run, args["gates"], node, changed=args["name"] != "soak")):
            raise GateFailed(failed)
        run.end(args["name"], ok=True, node=node)
        return {"ansible_facts": {"nodewise_step": {}}}
