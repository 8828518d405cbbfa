# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The next batch, resolved from the cluster as it is at that moment, once the one before it ended well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    ApprovingAction,
    Paused,
    Plan,
    end_batch,
    halt,
    included,
    lease,
    msgspec,
    order,
    plain,
    roll,
    run_of,
    serving,
)


class ActionModule(ApprovingAction):
    """Begin the next batch."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if args["state"] == "waited":
            return {"ansible_facts": {"nodewise_halted": bool(run_of(task_vars).outcome())}}
        if args["state"] == "further":
            return self.further(task_vars)
        found = self.begin(args, task_vars) if args["state"] == "begun" else self.resolve(task_vars)
        if found.get("ansible_facts", {}).get("nodewise_halted"):
            found["ansible_facts"]["nodewise_batch"] = todo(task_vars, "end")
        return found

    def begin(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Resolve the batch at once where the cluster was just looked at and stays ours for as long as it takes."""
        run, hop = run_of(task_vars), plain(task_vars["nodewise_hop"])
        if halted := end_batch(run, task_vars):
            return halted
        if not run.under_way("roll"):
            run.begin("roll")
        leases = [plain(task_vars["hostvars"][name].get("nodewise_lease") or {}) for name in task_vars["nodewise_run"]["members"]]
        fresh = all(run.fresh(group, args["fresh"]) for group in run.read_plan().groups)
        if not fresh or any(lease.due(one, hop["hold_s"]) for one in leases):
            return {"ansible_facts": {"nodewise_batch": todo(task_vars, "look_and_resolve")}}
        return self.resolve(task_vars)

    def resolve(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The nodes, their steps and who takes over leadership."""
        run, about = run_of(task_vars), plain(task_vars["nodewise_run"])
        if run.outcome():  # the cluster is not ours any more
            return {"ansible_facts": {"nodewise_halted": True}}
        made, observations = run.read_plan(), run.observations()
        begun = run.hop()
        hop = made.hops[begun["hop"]]
        try:
            batch = roll.again(made, hop, observations, soaked(run, begun)) or roll.next_batch(made, hop, observations)
            if batch is None:
                return {"ansible_facts": {"nodewise_batch": todo(task_vars)}}
            refuse_late(about["window_end"], serving(run))
            if roll.crosses(made, hop, batch, observations) and self.approve(run, made, hop, task_vars):
                # Nobody knows how long the operator thought: the next batch looks at the cluster anew.
                return {"ansible_facts": {"nodewise_batch": todo(task_vars)}}
        except Paused as problem:
            return halt(run, "paused", str(problem), problem.reason_code)
        steps = {node: msgspec.to_builtins(some) for node, some in roll.steps_of(made, batch, observations).items()}
        number = 1 + sum("batch" in r and r["seq"] > begun["seq"] for r in run.records("note"))
        ahead = len([one for one in order.batches(made, observations) if one.to == hop.to])
        total = number - any(steps.values()) + ahead
        run.note(f"batch {number} of {total}: {', '.join(batch.nodes)}, {batch.reason}", batch=number, nodes=batch.nodes)
        canary = roll.first(made, hop, observations) or not any(steps.values())
        mixed = roll.mixed(made, hop, batch, observations, f"/nodewise/proof/{run.id}/")
        after = [{"file": "suites"}] if made.settings.suites and any(steps.values()) else []
        after += [{"file": "soak"}] if canary and made.settings.soak else []
        checked = {node: [{"file": "mixed_version_check"}] if node in mixed else [] for node in batch.nodes}
        before = ["wait"] if plain(task_vars["nodewise_hop"])["wait"] else []
        found = {
            **todo(task_vars, *before, nodes=batch.nodes),
            "work": {node: [*(work(made, step) for step in steps[node]), *checked[node], *after] for node in batch.nodes},
            "successor": {node: roll.successor(made, batch, observations, node) for node in batch.nodes},
            "mixed": mixed,
            "suite_hosts": [*batch.nodes, *roll.beside(made, hop, batch, observations)],
            "soak": made.settings.soak,
            "watched": watched(made),
        }
        return {"ansible_facts": {"nodewise_batch": found}}

    def further(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """As many batches as there are members left, as each takes one of them at least."""
        run = run_of(task_vars)
        if halted := end_batch(run, task_vars):
            return {**halted, "ansible_facts": {**halted["ansible_facts"], "nodewise_further": []}}
        made = run.read_plan()
        left = roll.pending(made, made.hops[run.hop()["hop"]], run.observations())
        return {"ansible_facts": {"nodewise_further": [*range(sum(map(len, left.values())))]}}


def todo(task_vars: dict[str, Any], *files: str, nodes: list[str] | None = None) -> dict[str, Any]:
    """What each member of the cluster does in a batch, by the files of roles/upgrade/tasks; `nodes` are changed in it."""
    changed = nodes or []
    members = plain(task_vars["nodewise_run"]["members"])
    return {"nodes": changed, "todo": {name: [*files, *(["node"] if name in changed else [])] for name in members}}


def work(made: Plan, step: dict[str, Any]) -> dict[str, Any]:
    """A step of a node, by its file of roles/upgrade/tasks and the verbs that take it, the last of which observes and ends it."""
    if not step["after"] and not step["observes"]:
        return {"file": "step_without_gates", "step": step, "verbs": [included(made, step["verb"])]}
    verbs = [*filter(None, [step["verb"]]), *([] if step["observes"] else ["observe"])]
    return {"file": "step", "step": step, "verbs": [included(made, verb) for verb in verbs]}


def refuse_late(window_end: str, seen: str) -> None:
    """Raise Paused when the change window is over, with what was seen of the members."""
    if window_end and datetime.now().astimezone() >= datetime.fromisoformat(window_end):
        closed = window_end[:16].replace("T", " ")
        raise Paused(
            "window_closed",
            f"the change window closed at {closed}: no node is started after it; {seen}.\nRun it again tomorrow",
        )


def watched(made: Plan) -> list[str]:
    """The gates that are asked once more after a soak, and those of a soak alone."""
    named = dict.fromkeys(name for step in made.steps for name in step.after)
    return [name for name in (*named, "node_undisturbed", "no_regression") if name in made.gates]


def soaked(run: Any, begun: dict[str, Any]) -> bool:
    """Whether a canary's soak ended well in the current hop."""
    return any(r["step"] == "soak" and r["ok"] and r["seq"] > begun["seq"] for r in run.records("step", "end"))
