# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module node_files: in a run that changes settings, what it would change is a fact, and what it replaces is kept."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, plain


class ActionModule(EngineAction):
    """Run the module of the same name."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        about = plain(task_vars.get("nodewise_run") or {})
        if about.get("kind") != "configure":
            return self.ask(args, task_vars)
        if self._task.check_mode:
            return self.tried(args, task_vars)
        lease, step = (plain(task_vars.get(name) or {}) for name in ("nodewise_lease", "nodewise_step"))
        kept = {"keep": args["state"] == "written", "root": plain(task_vars["nodewise_node"])["root"]}
        return self.ask({**args, **kept, "lease": {**lease, "step": step.get("name") or "configure"}}, task_vars)

    def tried(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the files of this task, and of those before it, would become."""
        answer, before = self.ask(args, task_vars), plain(task_vars.get("nodewise_files") or {})
        if answer.get("failed"):
            return answer
        told = {"shows": [*before.get("shows", []), *answer["shows"]], "wanted": before.get("wanted", "") + answer["wanted"]}
        return {**answer, "ansible_facts": {"nodewise_files": told}}

    def ask(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module's answer."""
        answer: dict[str, Any] = self._execute_module(
            module_name="nodewise.cluster.node_files", module_args=args, task_vars=task_vars
        )
        return answer
