# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was observed, for people; the task fails when the cluster is not fit to be upgraded."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    Observation,
    Refused,
    msgspec,
    plain,
    refuse_unready,
    status,
)


class ActionModule(EngineAction):
    """Print the last observation and what its system's gates say of it."""

    def act(self, _args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        about = plain(task_vars["nodewise_run"])
        told = {group: observed(names, task_vars["hostvars"]) for group, names in about["groups"].items()}
        observations = {group: msgspec.convert(one, Observation) for group, one in told.items() if one}
        for group, seen in observations.items():
            self.say(status(group, seen))
        declared = self.declared(task_vars)
        try:
            refuse_unready(declared, observations, about["groups"])
        except Refused as problem:
            return {"failed": True, "msg": str(problem)}
        self.say([f"{about['cluster']} is healthy: {', '.join(declared.ready)}"])
        return {}


def observed(names: list[str], hostvars: Any) -> dict[str, Any] | None:
    """What a group's observer saw; None when none of its hosts could be asked."""
    return next((plain(one) for name in names if (one := hostvars[name].get("nodewise_observation"))), None)
