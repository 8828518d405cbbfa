# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was observed, for people; the task fails when the cluster is not fit to be upgraded."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    Observation,
    Refused,
    msgspec,
    plain,
    plan,
    role_path,
    summary,
)


class ActionModule(EngineAction):
    """Print the last observation and what its system's gates say of it."""

    def act(self, _args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        about = plain(task_vars["nodewise_run"])
        observation = msgspec.convert(plain(task_vars["nodewise_observation"]), Observation)
        self.say(summary.status(about["cluster"], observation))
        declared = plan.declaration(role_path(about["role"]))
        try:
            plan.refuse_unready(declared, observation, about["members"])
        except Refused as problem:
            return {"failed": True, "msg": str(problem)}
        self.say([f"{about['cluster']} is healthy: {', '.join(declared.ready)}"])
        return {}
