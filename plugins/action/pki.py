# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's certificate from the cluster's own authority, as data: nothing is written but the authority's folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction

with suppress(ImportError):  # said by EngineAction; not in its import, as it is slow and only needed here
    from nodewise import pki


class ActionModule(EngineAction):
    """Return `certificate`, `key` and `authority` (PEM) of this host, made or renewed when needed. Use it with no_log."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        folder, life, check = Path(args["folder"]), (args["days"], args["renew_days"]), self._task.check_mode
        if args["state"] == "absent":
            gone = [] if check else pki.remove(folder, args["cluster"], args["nodes"], args["passwords"])
            return {"changed": bool(gone), "removed": list(map(str, gone))}
        if not check:
            pki.client(folder, args["cluster"], *life)
        own = pki.node(folder, args["cluster"], self.host(task_vars), args["names"], *life, check=check)
        return {
            "changed": own.changed,
            "certificate": own.certificate,
            "key": own.key,
            "authority": own.authority,
            "expires": own.expires,
        }
