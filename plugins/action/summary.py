# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the run ended, in summary.json and in the last lines; the task fails unless the outcome is good."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, run_of

try:
    from nodewise.model import GOOD
    from nodewise.summary import decide, lines
except ImportError:  # said by EngineAction
    pass


class ActionModule(EngineAction):
    """Write the summary and judge the run by it."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run = run_of(task_vars)
        decide(run)
        summary = run.summarize()
        said = lines(summary, run.folder)
        self.tell(said)
        bad = summary["outcome"] not in GOOD
        return {"failed": bad, "summary": summary, **({"msg": said[0]} if bad else {})}
