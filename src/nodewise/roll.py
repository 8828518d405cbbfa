"""The roll, as decisions: whose turn it is, whether a change may still be taken back, and what a run that ended is called."""

from __future__ import annotations

from typing import Any

from nodewise import gates
from nodewise.errors import Held
from nodewise.model import Observation, Plan, Step, Turn
from nodewise.plan import order

BACK = ["members_expected", "members_serving", "node_at_target", "fingerprints_equal"]  # gates of a node that was put back
WAYS = "Way on: mend it at {}. Way back: restore the backup of this run"


def pending(plan: Plan, observation: Observation) -> list[str]:
    """The members that do not run the target yet, by name."""
    versions = {member.name: member.version for member in observation.members}
    return [name for name in plan.members if versions.get(name) != plan.to]


def finalized(plan: Plan, observation: Observation) -> bool:
    """Whether the gates of the end hold already: then there is nothing left to do."""
    asked = gates.context(observation, observation, plan.members, to=plan.to)
    return all(gates.judge(plan.gates[name], asked).ok for name in plan.finalize.after)


def next_turn(plan: Plan, observation: Observation) -> Turn | None:
    """Resolve the next turn from the cluster as it is now, or None when every member runs the target.

    Raises Held when no member may be stopped at this moment: unknown or unhealthy members, or a quorum that would break.
    """
    left = pending(plan, observation)
    if not left:
        return None
    down = [member.name for member in observation.members if not member.serving]
    if down:
        raise Held(f"{', '.join(down)} does not serve: no other member may be stopped now")
    quorum, count = observation.cluster.quorum, len(observation.members)
    if not plan.settings.accept_outage and (quorum is None or count - 1 < quorum):
        raise Held(f"{count} members serve and the quorum is {quorum or 'unknown'}: no member may be stopped now")
    name, reason = order(observation, left)[0]
    return Turn([name], reason)


def steps_of(plan: Plan, turn: Turn, observation: Observation) -> dict[str, list[Step]]:
    """The steps of each node of a turn: those for leaders only where the node leads now, and somebody can take over from it."""
    leader = observation.cluster.leader if successor(plan, turn, observation) else None
    return {node: [step for step in plan.steps if step.only == "always" or node == leader] for node in turn.nodes}


def soak(plan: Plan, observation: Observation) -> float:
    """Seconds to watch the node of this turn: it is the canary while no member runs the target yet."""
    return plan.settings.soak if len(pending(plan, observation)) == len(plan.members) else 0


def successor(plan: Plan, turn: Turn, observation: Observation) -> str | None:
    """Who takes over leadership: a serving member that runs the target already, else any other serving one."""
    others = [
        member for member in observation.members if member.serving and member.name not in turn.nodes and member.role != "learner"
    ]
    upgraded = [member.name for member in others if member.version == plan.to]
    return next(iter(sorted(upgraded) or sorted(member.name for member in others)), None)


def why_not_back(plan: Plan, observation: Observation) -> str | None:
    """Why the old version may not be put back at this moment, or None when it may."""
    if plan.point_of_no_return is None:
        return None
    now = observation.cluster.version
    if now is None:
        return "the version that the cluster acts as could not be read"
    if now != plan.cluster_version:
        return f"the cluster has moved from {plan.cluster_version} to {now}, and the old binary no longer starts on it"
    return None


def undo(plan: Plan, node: str, begun: set[str]) -> dict[str, Any]:
    """What takes a node back to its old version, as a step: the undo of each step that was begun, the last one first."""
    old = plan.versions[node]
    return {
        "name": "undo",
        "node": node,
        "version": old,
        "files": [step.undo for step in reversed(plan.steps) if step.undo and step.name in begun],
        "settled": {"members": plan.members, "serving": True, "versions": {node: old}},
        "deadline": plan.settings.deadline,
    }
