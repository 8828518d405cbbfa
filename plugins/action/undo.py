# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a failed step may be taken back, decided from an observation at that moment."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, halt, judge_step, roll, run_of


class ActionModule(EngineAction):
    """Say what takes the node in hand back to its old version, or why nothing may; and judge whether it is back."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, node = run_of(task_vars), self.host(task_vars)
        if args["state"] == "begun":
            return self.begin(run, node)
        return self.end(run, node, args["why"])

    def begin(self, run: Any, node: str) -> dict[str, Any]:
        """Resolve the undo from the last observation."""
        made = run.read_plan()
        against = roll.why_not_back(made, run.observation())
        if against:
            return halt(
                run, "needs_human", f"{node}: {run.failure()}\nIt was not put back: {against}.\n{roll.WAYS.format(made.to)}"
            )
        begun = {r["step"] for r in run.records("step", "begin") if r.get("node") == node}
        run.begin("undo", node=node)
        return {"ansible_facts": {"nodewise_step": roll.undo(made, node, begun)}}

    def end(self, run: Any, node: str, why: str) -> dict[str, Any]:
        """Back on the old version with a healthy cluster, or a case for a human."""
        old = run.read_plan().versions[node]
        off = why or judge_step(run, roll.BACK, node, old)
        run.end("undo", ok=not off, node=node)
        if off:
            return halt(run, "needs_human", f"{node}: {run.failure()}\nIt could not be put back on {old}: {off}")
        return halt(run, "rolled_back", f"{node}: {run.failure()}\nIt is back on {old} and the cluster is healthy")
