# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of an upgrade, from what was observed; or the reasons against it."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    Plan,
    Refused,
    Run,
    Settings,
    Subject,
    halt,
    msgspec,
    plain,
    plan,
    refuse_unfit,
    releases,
    role_path,
    roll,
    run_of,
)


class ActionModule(EngineAction):
    """Resolve everything before anything changes. The run ends here when it is refused, has nothing to do, or in check mode."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, about = run_of(task_vars), plain(task_vars["nodewise_run"])
        run.begin("plan")
        try:
            made = self.make(run, about, args, task_vars)
        except NodewiseError as problem:
            run.end("plan", ok=False, error=str(problem))
            return halt(run, "refused", str(problem))
        run.write_plan(made)
        lines = plan.describe(made)
        run.note(lines[0], plan="\n".join(lines[1:]))
        run.end("plan", ok=True)
        self.tell(lines)
        return self.ended(run, made)

    def make(self, run: Run, about: dict[str, Any], args: dict[str, Any], task_vars: dict[str, Any]) -> Plan:
        """The plan; raises Refused."""
        nodes = {name: plain(task_vars["hostvars"][name].get("nodewise_node")) for name in about["members"]}
        unanswered = sorted(name for name, node in nodes.items() if node is None)
        if unanswered:
            raise Refused(f"{', '.join(unanswered)} did not answer; every member must be reachable before one is changed")
        observation = run.observation()
        if observation is None:
            raise Refused("the cluster was not observed")
        folder = role_path(about["role"])
        rules = releases.load_rules(folder, args["releases"])
        hops = plan.hops(rules, observation, args["to"])
        made = plan.make(
            Subject(about["cluster"], about["system"], about["role"], about["members"]),
            plan.declaration(folder),
            observation,
            hops,
            releases.resolve(rules, args["to"], {}, plan.architecture(nodes)),
            Settings(accept_outage=args["accept_outage"], soak=args["soak"], deadline=args["deadline"]),
            args["gates"],
        )
        refuse_unfit(made, nodes)
        return made

    def ended(self, run: Run, made: Plan) -> dict[str, Any]:
        """Facts of a plan that is to be carried out, or the end of the run."""
        observation = run.observation()
        facts: dict[str, Any] = {
            "nodewise_plan": {
                "hash": made.hash,
                "to": made.to,
                "release": msgspec.to_builtins(made.release),
                "turns": list(range(1, len(made.turns) + 1)),
                "finalize": msgspec.to_builtins(made.finalize),
            }
        }
        if observation and not roll.pending(made, observation) and roll.finalized(made, observation):
            ended = halt(run, "unchanged", f"every member of {made.cluster} runs {made.to} already")
        elif self._task.check_mode:
            ended = halt(run, "planned", f"nothing was changed; plan {made.hash} is in {run.folder}/plan.yaml")
        else:
            return {"ansible_facts": facts}
        return {**ended, "ansible_facts": {**facts, **ended["ansible_facts"]}}
