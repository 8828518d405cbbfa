# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the run ended, in summary.json and in the last lines; the task fails unless the outcome is good."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, good, run_of, smoke, summary


class ActionModule(EngineAction):
    """Decide how the run ended; then write the summary and judge the run by it."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run = run_of(task_vars)
        if args["state"] == "decided":
            summary.decide(run)
            return {"ansible_facts": {"nodewise_collect": summary.worth_collecting(run), "nodewise_step": {}}}
        said = run.summarize(**({"smoke": smoke.totals(run.folder)} if smoke.sessions(run.folder) else {}))
        smoke.merge_junit(run.folder)
        lines = summary.lines(said, run.folder)
        self.tell(lines)
        bad = not good(said["kind"], said["outcome"])
        return {"failed": bad, "summary": said, **({"msg": lines[0]} if bad else {})}
