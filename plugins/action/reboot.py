# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module reboot, and the wait until the node is back: seen to have started anew, with systemd at the end of its start."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, NodewiseError, plain

STARTED = ("running", "degraded")  # of systemd: degraded is a unit that failed, and whether that matters is for the gates to say
PAUSE = 1.0  # seconds between two looks


class ActionModule(EngineAction):
    """Ask for the reboot once, then look until the node is another start of itself; a connection that is cut is no failure."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        node, lease = plain(task_vars["nodewise_node"]), plain(task_vars.get("nodewise_lease") or {})
        step = plain(task_vars.get("nodewise_step") or {}).get("name") or "reboot"
        given = {
            **args,
            "boot": args["boot"] or node["boot"],
            "root": node["root"],
            "lease": {**lease, "step": step} if lease else {},
        }
        try:
            answer = self.ask(given, task_vars)
        except AnsibleConnectionFailure:
            answer = {"changed": True}  # the module goes on without us
        if answer.get("failed") or self._task.check_mode:
            return answer
        seen = self.back(given, task_vars)
        return {**seen, "changed": bool(answer["changed"]), "ansible_facts": {"nodewise_node": {**node, "boot": seen["boot"]}}}

    def back(self, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the node says once it is back. Raises AnsibleConnectionFailure for one that is not there at the deadline."""
        until, seen = time.monotonic() + given["deadline"], dict[str, Any]()
        while True:
            try:
                seen = self.ask({"state": "looked"}, task_vars)
            except AnsibleConnectionFailure as cut:
                if time.monotonic() > until:
                    raise AnsibleConnectionFailure(
                        f"did not come back within {given['deadline']:.0f} s after its reboot: {cut}"
                    ) from cut
                with suppress(AnsibleError):
                    self._connection.reset()  # a shared connection to what was there before is dead
            if seen.get("boot") not in (None, given["boot"]) and seen.get("system") in STARTED:
                return seen
            if time.monotonic() > until and seen:
                so = "did not reboot" if seen.get("boot") == given["boot"] else f"is {seen.get('system')}"
                raise NodewiseError(f"{self.host(task_vars)} {so} within {given['deadline']:.0f} s; look at it, then run it again")
            time.sleep(PAUSE)

    def ask(self, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module's answer."""
        answer: dict[str, Any] = self._execute_module(module_name="nodewise.cluster.reboot", module_args=given, task_vars=task_vars)
        return answer
