# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a failed step may be taken back, decided from an observation at that moment."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    ANEW,
    EngineAction,
    halt,
    included,
    judge_back,
    noticed,
    plain,
    roll,
    run_of,
    since,
)


class ActionModule(EngineAction):
    """Say what takes the current node back to its old version, or why nothing may; and judge whether it is back."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, node = run_of(task_vars), self.host(task_vars)
        if args["state"] == "begun":
            return self.begin(run, node, task_vars)
        step, role = plain(task_vars["nodewise_step"]), str(task_vars["nodewise_run"]["role"])
        aside = plain(task_vars.get(f"{role.rpartition('.')[2]}_aside") or {})
        return self.end(run, node, args["why"], step, took(node, step["apart"], aside) if step["apart"] else [])

    def begin(self, run: Any, node: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Resolve the undo from the last observation."""
        made, begun = run.read_plan(), run.hop()
        hop, group = made.hops[begun["hop"]], made.group_of(node)
        seen, why = run.observations()[group], f"{node}: {run.failure()}"
        if alone := roll.cut_off(seen, node):
            return halt(run, "paused", f"{why}\n{node} was not put back: {alone}", "member_cut_off")
        foreign = roll.apart(seen, node)
        if not foreign and (data := roll.diverged(seen)):
            return halt(run, "paused", f"{why}\n{node} was not put back, because that would not help: {data}", "data_differs")
        acts_as = foreign["acts_as"] if foreign else seen.cluster.version
        against = roll.why_not_back(made, hop, begun["acts_as"][group], acts_as)
        if against and not foreign:
            unknown = acts_as is None
            outcome = "paused" if unknown else "intervention_required"
            return halt(run, outcome, f"{why}\n{node} was not put back: {against}", "cannot_go_back")
        names = {step.name for step in made.steps}
        steps = {r["step"] for r in run.records("step", "begin") if r.get("node") == node and r["seq"] > begun["seq"]} & names
        run.begin("undo", node=node)
        # Whatever becomes of the node: a cluster of its own is stopped at once, as clients lose what they write to it.
        verbs = [*(["set_aside"] if foreign else []), *([] if against else roll.undoing(made, steps or names))]
        step = roll.undo(made, node, old_version(run, node), verbs, f"/nodewise/undo/{run.id}/")
        # A process that may have read other files begins anew, also one that systemd began while they were put back.
        anew = made.kind == "configure" and bool(made.change) and made.change.step in steps
        step["since"] = ANEW if anew else since(made, task_vars, begins=False)
        step["verbs"] = [included(made, verb) for verb in verbs]
        return {"ansible_facts": {"nodewise_step": {**step, "apart": foreign, "against": against}}}

    def end(self, run: Any, node: str, why: str, step: dict[str, Any], also: list[str]) -> dict[str, Any]:
        """Back on the old version, with all that held before the upgrade; or a case for an operator, with what does not hold."""
        made, old, failure = run.read_plan(), old_version(run, node), "\n".join([f"{node}: {run.failure()}", *also])
        begun = max(r["seq"] for r in run.records("step", "begin") if r["step"] == "undo")
        seen = any(r["seq"] > begun for r in run.records("observe"))
        off = "; ".join(filter(None, [step["against"], judge_back(run, node, old) if seen else "", why]))
        run.end("undo", ok=not off, node=node, **({"error": off} if off else {}))
        if off:
            now = run.observations()[made.group_of(node)]
            back = seen and any((m.name, m.version, m.serving) == (node, old, True) for m in now.members)
            found = f"It runs {old} again, but not all is as it was: {off}" if back else f"It could not be put back on {old}: {off}"
            return halt(run, roll.stuck(made, now, node), f"{failure}\n{found}", "undo_failed")
        seen_too = [f"Noticed, which no undo changes: {line}" for line in noticed(run, node, old)]
        text = "\n".join([failure, roll.back_on(made, node, old, [one["verb"] for one in step["verbs"]]), *seen_too])
        back = made.kind in ("upgrade", "configure")  # of a restart, and of a reboot, nothing was taken back
        return halt(run, "rolled_back", text) if back else halt(run, "paused", text, "step_failed")


def took(node: str, foreign: dict[str, Any], aside: dict[str, Any]) -> list[str]:
    """What is said of a member that became a cluster of its own: which one, how far it came, and where its data is kept."""
    was = f"{node} had become a cluster of its own ({foreign['cluster']}; the others are {foreign['others']})"
    if not aside.get("kept"):
        return [f"{was}, and could not be set aside: stop it, as what clients write to it is lost to the others"]
    reached = f"up to revision {aside['revision']}" if aside["revision"] is not None else "of unknown extent"
    return [f"{was}, and was stopped. What it took, {reached}, is in no other member; it is kept on {node} in {aside['kept']}"]


def old_version(run: Any, node: str) -> str:
    """What the node ran before its batch; before the hop, when the batch was only to watch it."""
    made, hop = run.read_plan(), run.hop()["hop"]
    was = next(m.version for seen in run.before_batch().values() for m in seen.members if m.name == node)
    return str(was if was != made.hops[hop].to else made.hops[hop].start)
