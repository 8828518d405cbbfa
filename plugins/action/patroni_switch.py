# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module patroni_switch over a connection that may be cut: the change goes on at the node, and is then looked at."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction


class ActionModule(EngineAction):
    """Run the module; when the connection is cut, run it again: it waits for the change under way, and has nothing left to do."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self.patiently("nodewise.cluster.patroni_switch", args, task_vars, args["timeout_s"])
