# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose turn it is, resolved from the cluster as it is at that moment; and whether a turn ended well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    ApprovingAction,
    Held,
    NodewiseError,
    halt,
    msgspec,
    plain,
    roll,
    run_of,
)


class ActionModule(ApprovingAction):
    """Begin the next turn, or end the one in hand."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self.begin(args["index"], task_vars) if args["state"] == "begun" else self.end(task_vars)

    def begin(self, index: int, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Resolve the nodes, their steps and who takes over leadership."""
        run, about = run_of(task_vars), plain(task_vars["nodewise_run"])
        if run.outcome():  # the cluster is not ours any more
            return {"ansible_facts": {"nodewise_halted": True}}
        made, observations = run.read_plan(), run.observations()
        begun = run.hop()
        hop = made.hops[begun["hop"]]
        try:
            turn = roll.again(made, hop, observations, soaked(run, begun)) or roll.next_turn(made, hop, observations)
            if turn is None:
                return {"ansible_facts": {"nodewise_turn": {"nodes": []}}}
            refuse_late(about["until"])
            if roll.crosses(made, hop, turn, observations) and self.approve(run, made, hop, about["approve"]):
                # Nobody knows how long the operator thought: the next turn looks at the cluster anew.
                return {"ansible_facts": {"nodewise_turn": {"nodes": []}}}
        except NodewiseError as problem:
            return halt(run, "held", str(problem))
        run.note(f"turn {index}: {', '.join(turn.nodes)}, {turn.reason}", turn=index, nodes=turn.nodes)
        steps = {node: msgspec.to_builtins(some) for node, some in roll.steps_of(made, turn, observations).items()}
        canary = roll.first(made, hop, observations) or not any(steps.values())
        resolved = {
            "index": index,
            "nodes": turn.nodes,
            "steps": steps,
            "successor": {node: roll.successor(made, turn, observations, node) for node in turn.nodes},
            "proof": roll.proof(made, hop, turn, observations, f"/nodewise/proof/{run.id}/"),
            "soak": made.settings.soak if canary else 0,
            "suites": bool(made.settings.suites) and any(steps.values()),
            "watched": [*dict.fromkeys(name for step in made.steps for name in step.after), "no_regression"],
        }
        return {"ansible_facts": {"nodewise_turn": resolved}}

    def end(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Go on only when every node of the turn ended each of its steps well: one that is silent was lost."""
        run, turn = run_of(task_vars), plain(task_vars["nodewise_turn"])
        if run.outcome():
            return {"ansible_facts": {"nodewise_halted": True}}
        if not turn["nodes"]:
            return {}
        since = max((r["seq"] for r in run.records("note") if "turn" in r), default=0)
        ended = {(r.get("node"), r["step"]) for r in run.records("step", "end") if r["ok"] and r["seq"] > since}
        watched = [name for name in ("suites", "soak") if turn[name]]
        lost = sorted(
            node
            for node in turn["nodes"]
            for names in [
                [*(step["name"] for step in turn["steps"][node]), *(["prove"] if node in turn["proof"] else []), *watched]
            ]
            if any((node, name) not in ended for name in names)
        )
        if not lost:
            return {}
        return halt(
            run,
            "held",
            f"{', '.join(lost)} was lost in the middle of its turn; no other member was touched.\n"
            "Bring it back, then run the same command again",
        )


def refuse_late(until: str) -> None:
    """Raise Held when the change window is over."""
    if until and datetime.now().astimezone() >= datetime.fromisoformat(until):
        closed = until[:16].replace("T", " ")
        raise Held(
            f"the change window closed at {closed}: no node is begun after it; the cluster is healthy.\nRun it again tomorrow"
        )


def soaked(run: Any, begun: dict[str, Any]) -> bool:
    """Whether a canary's soak ended well in the hop in hand."""
    return any(r["step"] == "soak" and r["ok"] and r["seq"] > begun["seq"] for r in run.records("step", "end"))
