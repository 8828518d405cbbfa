# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module sample, with its answer in the journal and as the fact that the soak's judgement reads."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, Run, plain, soak

FACTS = {"baseline": "nodewise_baseline", "soak": "nodewise_soaked"}  # nodewise_soak is the operator's: how long


class ActionModule(EngineAction):
    """Run the module of the same name on the node. What could not be sampled is a sample too: all of it unknown, and why."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        about = plain(task_vars.get("nodewise_run") or {})
        sample, node = self.ask(args, task_vars), self.host(task_vars)
        left = soak.gaps(plain(task_vars.get(FACTS["baseline"])), bool(args["command"])) if args["name"] == "soak" else []
        text = f"{node} {args['name']}: {soak.told(sample)}{'; not judged: ' if left else ''}{'; '.join(left)}"
        if run := Run.of(about):
            run.note(text, sample=sample, name=args["name"], node=node)
        return {"sample": sample, "ansible_facts": {FACTS[args["name"]]: sample}}

    def ask(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The node's answer; one in which everything is null when it did not give any."""
        given = {key: value for key, value in args.items() if value is not None}  # null is given, to a module
        try:
            answer = self._execute_module(module_name="nodewise.cluster.sample", module_args=given, task_vars=task_vars)
        except AnsibleConnectionFailure as lost:
            return soak.unknown(f"{self.host(task_vars)} cannot be reached: {lost}")
        if answer.get("failed") or "sample" not in answer:
            return soak.unknown(str(answer.get("msg") or answer.get("module_stderr") or "the module ended without a message"))
        return dict(plain(answer["sample"]))
