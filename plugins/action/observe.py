# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The contract around every system's info module: asked on the node, held against the one shape, kept in the journal."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import EngineAction, Observation, Run, msgspec, plain, unseen


class ActionModule(EngineAction):
    """Observe the cluster from this node. What could not be asked is an observation too: nobody seen, and why."""

    _requires_connection = True

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        about = plain(task_vars["nodewise_run"])
        step = plain(task_vars.get("nodewise_step") or {})
        settled = args["settled"] if args["settled"] is not None else step.get("settled", {})
        deadline = args["deadline"] if args["deadline"] is not None else step.get("deadline", 10.0)
        run = Run.of(about)
        node = self.host(task_vars) if step.get("node") else None
        if run and settled:
            run.begin("settle", node=node)
        observation, missing = self.ask(args, {"settled": settled, "deadline": deadline}, about, task_vars)
        if run:
            run.observed(observation, missing, node=node)
            if settled:
                run.end("settle", ok=not missing, node=node)
        return {"ansible_facts": {"nodewise_observation": msgspec.to_builtins(observation), "nodewise_missing": missing}}

    def ask(
        self, args: dict[str, Any], waiting: dict[str, Any], about: dict[str, Any], task_vars: dict[str, Any]
    ) -> tuple[Observation, list[str]]:
        """The observation and what is still missing of what was waited for."""
        try:
            answer = self._execute_module(module_name=args["module"], module_args={**args["args"], **waiting}, task_vars=task_vars)
        except AnsibleConnectionFailure as lost:
            if plain(task_vars.get("nodewise_step") or {}).get("node"):
                raise  # the node in hand is lost: what happens next is decided by those that are left
            answer = {"failed": True, "msg": f"{self.host(task_vars)} cannot be reached: {lost}"}
        if answer.get("failed"):
            why = str(answer.get("msg") or answer.get("module_stderr") or "the info module ended without a word")
            return unseen(about["system"], about["members"], why), [why]
        try:
            return msgspec.convert(answer["observation"], Observation), list(answer["missing"])
        except (KeyError, msgspec.ValidationError) as off:
            why = f"{args['module']} answered in another shape than model.Observation: {off}"
            return unseen(about["system"], about["members"], why), [why]
