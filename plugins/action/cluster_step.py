# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A step of the whole cluster: whether it is to be taken, and what becomes of it when it fails."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    ApprovingAction,
    Step,
    end_roll,
    halt,
    holds,
    judge_step,
    plan,
    roll,
    run_of,
)


class ActionModule(ApprovingAction):
    """Begin a step of the cluster unless it is done, or take it back."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run = run_of(task_vars)
        step = Step(**args["step"])
        if args["state"] == "begun":
            return self.begin(run, step, task_vars)
        if args["state"] == "failed":
            run.end(step.name, ok=False, error=args["why"])
            return {"ansible_facts": {"nodewise_step": self.resolved(run, step, [step.undo] if step.undo else [])}}
        return self.end(run, step, args["why"])

    def begin(self, run: Any, step: Any, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Whether it is to be taken: not where its gates hold already, and not past a point of no return that nobody approved.

        The suites that come after it are passed all the same, before the first node: an earlier run may have ended with them.
        """
        made, hop = run.read_plan(), run.hop()
        if halted := end_roll(run, task_vars):
            return halted
        to, observations = made.hops[hop["hop"]].to, run.observations()
        if done := holds(step, observations, made.groups, made.gates, to):
            run.note(f"step {step.name} of the cluster is done already")
            if not (step.suites and made.settings.suites) or to in roll.versions_of(observations).values():
                return {"ansible_facts": {"nodewise_step": {}}}
        elif halted := self.pass_by(run, made, made.hops[hop["hop"]], step.name, task_vars):
            return halted
        run.begin(step.name, cluster=True)
        resolved = self.resolved(run, step, [])
        return {"ansible_facts": {"nodewise_step": {**resolved, "verb": "observe"} if done else resolved}}

    def resolved(self, run: Any, step: Any, verbs: list[str]) -> dict[str, Any]:
        """What the tasks of the step read as `nodewise_step`."""
        made = run.read_plan()
        hop = made.hops[run.hop()["hop"]]
        settled = plan.settled(step, hop, None, hop.to)
        about = {"name": step.name, "verb": step.verb, "after": step.after, "version": hop.to, "settled": settled}
        return {**about, "verbs": verbs, "deadline": made.settings.deadline}

    def end(self, run: Any, step: Any, why: str) -> dict[str, Any]:
        """How the run ends whose step failed: as it was before, where what held before anything began holds again."""
        made, failure = run.read_plan(), run.failure()
        versions = {member.version for seen in run.observations().values() for member in seen.members}
        if not step.undo:
            return halt(
                run, "paused", f"{failure}\nIt has no undo: look at the cluster, then run the same command again", "step_failed"
            )
        off = why or judge_step(run, made.ready, None, made.to)
        if off:
            return halt(run, "intervention_required", f"{failure}\nIt was not taken back: {off}", "undo_failed")
        text = f"{failure}\nIt was taken back, and {len(made.ready)} gates hold as before"
        before_all = step.name in {one.name for one in made.before_first} and versions == {made.hops[0].start}
        return halt(run, "rolled_back", text) if before_all and made.kind == "upgrade" else halt(run, "paused", text, "step_failed")
