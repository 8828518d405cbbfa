# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node says, kept in the record of the run."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, files, run_of


class ActionModule(EngineAction):
    """Write a text to `collected/<host>.txt`, for its owner only: logs may say more than one would show."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        folder = run_of(task_vars).folder / "collected"
        folder.mkdir(mode=0o700, exist_ok=True)
        files.write(folder / f"{self.host(task_vars)}.txt", args["text"], mode=0o600)
        return {}
