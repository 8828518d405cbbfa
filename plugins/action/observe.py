# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract around every system's info module: asked on the node, held against the one shape, kept in the journal."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    Observation,
    Run,
    end_step,
    msgspec,
    plain,
    unseen,
)


class ActionModule(EngineAction):
    """Observe a quorum group: from the current node, or from the first of its members that is still in the play.

    What could not be asked is an observation too: nobody seen, and why.
    """

    _requires_connection = True
    changed = False

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        about, step = plain(task_vars["nodewise_run"]), plain(task_vars.get("nodewise_step") or {})
        node = self.host(task_vars) if step.get("node") else None
        group = next(name for name, names in about["groups"].items() if self.host(task_vars) in names)
        run = Run.of(about)
        if not args["changes"] and self.needless(run, group, about["groups"][group], node, task_vars):
            return {"skipped": True}
        settled = args["settled"] if args["settled"] is not None else step.get("settled", {})
        settled = {"members": about["groups"][group], **settled} if settled else {}
        deadline = args["deadline"] if args["deadline"] is not None else step.get("deadline", 10.0)
        settles = run and settled and not args["changes"]
        if settles:
            run.begin("settle", node=node)
        observation, missing = self.ask(args, {"settled": settled, "deadline": deadline}, group, task_vars)
        if run:
            run.observed(observation, missing, node=node, group=group)
        if settles:
            run.end("settle", ok=not missing, node=node)
        facts = {"nodewise_observation": msgspec.to_builtins(observation), "nodewise_missing": missing}
        if node and (step.get("observes") or self.said("nodewise_ends_step", task_vars)):  # the step that is under way ends here
            facts |= end_step(run, step["name"], step["after"], node, step["version"], successor=step["successor"])
        return {"changed": self.changed, "ansible_facts": facts}

    def said(self, name: str, task_vars: dict[str, Any]) -> Any:
        """A variable of whoever included the role's tasks."""
        return self._templar.template(task_vars.get(name))

    def needless(self, run: Run | None, group: str, names: list[str], node: str | None, task_vars: dict[str, Any]) -> bool:
        """Whether another member observes the group, or did so within `nodewise_max_age` seconds and nothing changed since."""
        here = [name for name in names if name in task_vars["ansible_play_hosts"]]
        if not node and here[:1] != [self.host(task_vars)]:
            return True
        age = float(self.said("nodewise_max_age", task_vars) or 0)
        return bool(run and age and run.fresh(group, age))

    def ask(
        self, args: dict[str, Any], waiting: dict[str, Any], group: str, task_vars: dict[str, Any]
    ) -> tuple[Observation, list[str]]:
        """The observation and what is still missing of what was waited for."""
        about = plain(task_vars["nodewise_run"])
        given = {**args["args"], **waiting}
        changing = plain(task_vars.get("nodewise_step") or {}).get("node")
        try:
            answer = self.patiently(args["module"], given, task_vars, waiting["deadline"] if changing else 0)
        except AnsibleConnectionFailure as lost:
            if changing:
                raise  # the current node is lost: what happens next is decided by those that are left
            answer = {"failed": True, "msg": f"{self.host(task_vars)} cannot be reached: {lost}"}
        if answer.get("failed"):
            if args["changes"]:
                raise NodewiseError(str(answer.get("msg") or answer.get("module_stderr") or "the module ended without a message"))
            why = str(answer.get("msg") or answer.get("module_stderr") or "the info module ended without a message")
            return unseen(about["system"], about["groups"][group], why), [why]
        self.changed = bool(answer.get("changed"))
        try:
            return msgspec.convert(answer["observation"], Observation), list(answer["missing"])
        except (KeyError, msgspec.ValidationError) as off:
            why = f"{args['module']} answered in another shape than model.Observation: {off}"
            return unseen(about["system"], about["groups"][group], why), [why]
