# Copyright: Nodewise maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose turn it is, resolved from the cluster as it is at that moment; and whether a turn ended well."""

from __future__ import annotations

from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import (
    EngineAction,
    NodewiseError,
    halt,
    msgspec,
    plain,
    roll,
    run_of,
)


class ActionModule(EngineAction):
    """Begin the next turn, or end the one in hand."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self.begin(args["index"], task_vars) if args["state"] == "begun" else self.end(task_vars)

    def begin(self, index: int, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Resolve the nodes, their steps and who takes over leadership."""
        run = run_of(task_vars)
        made, observation = run.read_plan(), run.observation()
        try:
            turn = roll.next_turn(made, observation)
        except NodewiseError as problem:
            return halt(run, "held", str(problem))
        if turn is None:
            return {"ansible_facts": {"nodewise_turn": {"nodes": []}}}
        run.note(f"turn {index}: {', '.join(turn.nodes)}, {turn.reason}", turn=index, nodes=turn.nodes)
        steps = {node: msgspec.to_builtins(some) for node, some in roll.steps_of(made, turn, observation).items()}
        resolved = {
            "index": index,
            "nodes": turn.nodes,
            "steps": steps,
            "successor": roll.successor(made, turn, observation),
            "soak": roll.soak(made, observation),
        }
        return {"ansible_facts": {"nodewise_turn": resolved}}

    def end(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Go on only when every node of the turn ended each of its steps well: one that is silent was lost."""
        run, turn = run_of(task_vars), plain(task_vars["nodewise_turn"])
        if run.outcome():
            return {"ansible_facts": {"nodewise_halted": True}}
        ended = {(r.get("node"), r["step"]) for r in run.records("step", "end") if r["ok"]}
        soak = ["soak"] if turn["soak"] else []
        expected = {node: [*(step["name"] for step in turn["steps"][node]), *soak] for node in turn["nodes"]}
        lost = sorted(node for node, names in expected.items() if any((node, name) not in ended for name in names))
        if not lost:
            return {}
        return halt(
            run,
            "held",
            f"{', '.join(lost)} was lost in the middle of its turn; no other member was touched.\n"
            "Bring it back, then run the same command again",
        )
