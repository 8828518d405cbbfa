# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module node_info, with its answer as the fact nodewise_node, so that the plan finds it whatever the system."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Run the module of the same name and keep what it says of this host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(self._execute_module(module_name="nodewise.cluster.node_info", task_vars=task_vars))
        if not result.get("failed"):
            told = {key: value for key, value in result.items() if not key.startswith("_") and key not in ("invocation", "changed")}
            told["ahead_s"] = (told["clock"] - time.time_ns()) / 1e9
            result["ansible_facts"] = {"nodewise_node": told}
        return result
