# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a failed step may be taken back, decided from an observation at that moment."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, halt, run_of

try:
    from nodewise import roll
    from nodewise.judging import judge_step
except ImportError:  # said by EngineAction
    pass


class ActionModule(EngineAction):
    """Say what takes the node in hand back to its old version, or why nothing may; and judge whether it is back."""

    SPEC = {"state": {"type": "str", "choices": ["begun", "ended"], "required": True}, "why": {"type": "str", "default": ""}}

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, node = run_of(task_vars), self.host(task_vars)
        if args["state"] == "begun":
            return self.begin(run, node)
        return self.end(run, node, args["why"])

    def begin(self, run: Any, node: str) -> dict[str, Any]:
        """Resolve the undo from the last observation."""
        made, observation = run.read_plan(), run.observation()
        against = roll.why_not_back(made, observation)
        if against:
            return halt(run, "needs_human", f"{node}: {run.failure()}\nIt was not put back: {against}. Way on: mend it at {made.to}; "
                        "way back: restore the backup of this run")
        begun = {r["step"] for r in run.records("step", "begin") if r.get("node") == node}
        files = [step.undo for step in reversed(made.steps) if step.undo and step.name in begun]
        old = made.versions[node]
        run.begin("undo", node=node)
        settled = {"members": made.members, "serving": True, "versions": {node: old}}
        return {"ansible_facts": {"nodewise_step": {"name": "undo", "node": node, "version": old, "files": files, "settled": settled,
                                                    "deadline": made.settings.deadline}}}

    def end(self, run: Any, node: str, why: str) -> dict[str, Any]:
        """Back on the old version with a healthy cluster, or a case for a human."""
        made = run.read_plan()
        off = [why] if why else judge_step(run, ["members_expected", "members_serving", "node_at_target", "fingerprints_equal"], node, made.versions[node])
        run.end("undo", ok=not off, node=node)
        if off:
            return halt(run, "needs_human", f"{node}: {run.failure()}\nIt could not be put back on {made.versions[node]}: " + "; ".join(off))
        return halt(run, "rolled_back", f"{node}: {run.failure()}\nIt is back on {made.versions[node]} and the cluster is healthy")
