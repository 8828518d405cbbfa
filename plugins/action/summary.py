# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the run ended, in summary.json and in the last lines; the task fails unless the outcome is good."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    attempt,
    decide,
    ending,
    good,
    run_of,
    summarized,
    worth_collecting,
)


class ActionModule(EngineAction):
    """Decide how the run ended; then write the summary and judge the run by it."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run = run_of(task_vars)
        if args["state"] == "decided":
            attempt([], lambda: decide(run), None)  # what cannot be written down is told all the same, by the next task
            return {"ansible_facts": {"nodewise_collect": worth_collecting(run), "nodewise_step": {}}}
        said = summarized(run)
        lines = ending(said, run.folder)
        self.tell(lines)
        bad = not good(said["kind"], said["outcome"])
        return {"failed": bad, "summary": said, **({"msg": lines[0]} if bad else {})}
