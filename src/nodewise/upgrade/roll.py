# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roll, as decisions: which batch is next, whether a change may still be taken back, and what may not be begun now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nodewise.errors import Paused
from nodewise.gates.context import context
from nodewise.gates.judgement import judge
from nodewise.model import Batch, Hop, Observation, Observations, Outcome, Plan, Step
from nodewise.upgrade.change import undone_first
from nodewise.upgrade.order import barred, batches, behind, hands_over, pick, stands
from nodewise.upgrade.preflight import holds


def pending(plan: Plan, hop: Hop, observations: Observations) -> dict[str, list[str]]:
    """The members that have not reached a hop's version yet, in each group that has some."""
    versions = stands(plan, observations)
    left = {group: [name for name in names if behind(plan, hop, versions.get(name))] for group, names in plan.groups.items()}
    return {group: names for group, names in left.items() if names}


def done(plan: Plan, hop: Hop, observations: Observations) -> bool:
    """Whether a hop is behind the cluster: all members reached it, and its end was seen, or a later hop has begun."""
    if pending(plan, hop, observations):
        return False
    beyond = any(member.version != hop.to for seen in observations.values() for member in seen.members)
    if not beyond and not all(holds(step, observations, plan.groups, plan.gates, hop.to) for step in plan.after_last if step.after):
        return False
    return beyond or all(
        judge(plan.gates[name], context(seen, seen, plan.groups[group], to=hop.to), plan.settings.waive).passes
        for group, seen in observations.items()
        for name in plan.finalize.after
    )


def parts(plan: Plan, observations: Observations, *, asks: bool) -> list[dict[str, Any]]:
    """What is to be done, in order, by the files of roles/upgrade/tasks.

    First backup and staging, then members are brought back, then one hop comes after the other. A hop that is behind the cluster
    has no part; the last one has its end all the same, which is that of the run. `asks`: a point of no return was not approved
    beforehand.
    """
    found: list[dict[str, Any]] = []
    if not plan.change:  # which changes no data, and needs no release
        found += [{"file": "secure"}, *({"file": "stage", "hop": index} for index in range(len(plan.hops)))]
    recovered = plan.recover if plan.kind != "rollback" else {}  # what a way back would bring a member up on was never tried
    found += [{"file": "recover_node", "node": name, "release": msgspec.to_builtins(one)} for name, one in recovered.items()]
    foreseen = batches(plan, observations)
    for index, hop in enumerate(plan.hops):
        if not done(plan, hop, observations):
            count = sum(one.to == hop.to for one in foreseen)
            found += [{**part, "hop": index} for part in _of_hop(plan, hop, count, asks=asks)]
        elif index + 1 == len(plan.hops):
            found.append({"file": "hop_end", "hop": index})
    return found


def _of_hop(plan: Plan, hop: Hop, count: int, *, asks: bool) -> list[dict[str, Any]]:
    # A leader that moves between groups' batches may ask for other batches than were foreseen, a soak for one to watch again, and
    # after a question a batch is resolved anew.
    most = count + 2 * (len(plan.groups) > 1) + (plan.settings.soak > 0) + (asks and hop.no_return is not None)
    before, after = ([_cluster_step(step) for step in steps] for steps in (plan.before_first, plan.after_last))
    # Where several are changed at once fewer may be spared than were foreseen, so that there are more batches.
    several = plan.together and plan.settings.max_unavailable != "1"
    rolled = [{"file": "batch"}] * most + [{"file": "further_batches"}] * several
    return [{"file": "hop"}, *before, *rolled, *after, {"file": "finalize"}, {"file": "hop_end"}]


def _cluster_step(step: Step) -> dict[str, Any]:
    return {"file": "cluster_step", "step": msgspec.to_builtins(step)}


def next_batch(plan: Plan, hop: Hop, observations: Observations) -> Batch | None:
    """Resolve the next batch from the cluster as it is now, or None when every member has reached the hop's version.

    Raises Paused when no member may be stopped at this moment: unknown or unhealthy members, or a quorum that would break.
    """
    left = pending(plan, hop, observations)
    if not left:
        return None
    down = [member.name for seen in observations.values() for member in seen.members if not member.serving]
    if down:
        raise Paused("members_not_serving", f"{', '.join(down)} does not serve: no other member may be stopped now")
    for group in left:
        seen = observations[group]
        quorum, count = seen.cluster.quorum, len(seen.members)
        if "quorum" in plan.lacks:
            continue
        if quorum is None or (count - 1 < quorum and "quorum_at_risk" not in plan.settings.waive):
            text = f"{count} members of {group} serve and the quorum is {quorum or 'unknown'}: no member may be stopped now"
            raise Paused("quorum_at_risk", text)
    leaders = {group: seen.cluster.leader for group, seen in observations.items()}
    spare = {group: spared(observations[group]) for group in left}
    batch = pick(plan, leaders, left, canary=first(plan, hop, observations), spare=spare)
    batch = msgspec.structs.replace(batch, to=hop.to)
    for node in batch.nodes:
        alone = len(plan.groups[plan.group_of(node)]) == 1
        if hands_over(plan) and node in leaders.values() and not alone and not successor(plan, batch, observations, node):
            others = [member for member in _group(plan, observations, node).members if member.name != node]
            why = "; ".join(f"{member.name} {barred(member) or 'is in its batch'}" for member in others)
            raise Paused("no_successor", f"{node} leads and no member may take over from it, so it may not be stopped: {why}")
    return batch


def spared(seen: Observation) -> int | None:
    """How many members those who use a group can do without now (`details.spare`); None where nobody counts them.

    Raises Paused when it is none, or could not be read.
    """
    if "spare" not in seen.cluster.details:
        return None
    spare = seen.cluster.details["spare"]
    if spare is None or spare < 1:
        why = seen.cluster.details.get("spare_error") or f"{spare} members more than are needed are in service"
        raise Paused("members_not_serving", f"no member can be spared: {why}")
    return int(spare)


def again(plan: Plan, hop: Hop, observations: Observations, soaked: bool) -> Batch | None:
    """A batch in which nothing is changed: the one member that reached the version is watched, when nobody saw its soak end."""
    reached = [name for name, version in stands(plan, observations).items() if version == hop.to]
    if not plan.settings.soak or soaked or len(reached) != 1 or not pending(plan, hop, observations):
        return None
    return Batch(reached, "the canary once more: its soak was not seen to end", hop.to)


def first(plan: Plan, hop: Hop, observations: Observations) -> bool:
    """Whether no member has reached the hop's version yet: who is next is the canary."""
    return sum(map(len, pending(plan, hop, observations).values())) == len(plan.members)


def crosses(plan: Plan, hop: Hop, batch: Batch, observations: Observations) -> bool:
    """Whether a batch goes past the point of no return: it takes the last member of a group to the hop's version."""
    if not hop.no_return or hop.no_return.before != "last_member":
        return False
    return any(set(names) <= set(batch.nodes) for names in pending(plan, hop, observations).values())


def steps_of(plan: Plan, batch: Batch, observations: Observations) -> dict[str, list[Step]]:
    """The steps of each node of a batch: those for leaders only where the node leads now, and somebody can take over from it."""
    leads = {node for node in batch.nodes if _group(plan, observations, node).cluster.leader == node}
    taken = {node for node in leads if successor(plan, batch, observations, node)}
    reached = {name for name, version in stands(plan, observations).items() if version == batch.to}
    mine = {node: [] if node in reached else plan.steps for node in batch.nodes}
    return {node: [step for step in steps if step.only == "always" or node in taken] for node, steps in mine.items()}


def successor(plan: Plan, batch: Batch, observations: Observations, node: str) -> str | None:
    """Who takes over a node's leadership: a serving member that runs the batch's version already, else any other serving one.

    A member that may not take over (`order.barred`) does not.
    """
    others = [
        member for member in _group(plan, observations, node).members if member.name not in batch.nodes and not barred(member)
    ]
    reached = stands(plan, observations)
    upgraded = [member.name for member in others if reached[member.name] == batch.to]
    return next(iter(sorted(upgraded) or sorted(member.name for member in others)), None)


def mixed(plan: Plan, hop: Hop, batch: Batch, observations: Observations, prefix: str) -> dict[str, dict[str, Any]]:
    """For each node of a batch: the old members and the new ones between which writes are to be read, where there will be both."""
    found: dict[str, dict[str, Any]] = {}
    for node in batch.nodes if plan.settings.mixed_version_check else []:
        group = plan.group_of(node)
        old = [name for name in pending(plan, hop, observations).get(group, []) if name not in batch.nodes]
        if old:
            found[node] = {"old": old, "new": [node], "prefix": prefix}
    return found


def beside(plan: Plan, hop: Hop, batch: Batch, observations: Observations) -> list[str]:
    """An old member that passes the suites beside a batch's new ones, where a step of the cluster changed what both of them use."""
    if not any(step.suites for step in plan.before_first):
        return []
    left = [name for names in pending(plan, hop, observations).values() for name in names if name not in batch.nodes]
    return left[:1]


def _group(plan: Plan, observations: Observations, node: str) -> Observation:
    return observations[plan.group_of(node)]


def why_not_back(plan: Plan, hop: Hop, acted_as: str | None, now: str | None) -> str | None:
    """Why the old version may not be put back at this moment, or None when it may.

    `acted_as` is what the cluster acted as before the hop began, `now` what it acts as.
    """
    if hop.no_return is None or any(step.name == hop.no_return.before for step in plan.after_last):
        return None
    if any(step.name == hop.no_return.before for step in plan.before_first):
        return f"step {hop.no_return.before} of the cluster is behind it, {hop.no_return.says}"
    if now is None:
        return "the version that the cluster acts as could not be read"
    if now != acted_as:
        return f"the cluster has moved from {acted_as or 'an unknown version'} to {now}, and the old binary no longer starts on it"
    return None


def stuck(plan: Plan, seen: Observation, node: str) -> Outcome:
    """What a run is whose node could not be put back: paused while the others serve with a quorum, so that it can be recovered.

    Of a system that has no quorum all others must serve.
    """
    serving = sum(member.serving for member in seen.members if member.name != node)
    if "quorum" in plan.lacks:
        return "paused" if serving == len(seen.members) - 1 else "intervention_required"
    return "paused" if seen.cluster.quorum is not None and serving >= seen.cluster.quorum else "intervention_required"


def cut_off(seen: Observation, node: str) -> str | None:
    """Why what a node says of the cluster may not be believed: it sees too few of the others. None when it sees enough."""
    others = [member for member in seen.members if member.name != node]
    there = [member.name for member in others if member.version is not None]
    # The majority, also where fewer would do for writes: who sees no more than himself may be the one that everybody else lost.
    if len(there) + 1 >= max(seen.cluster.quorum or 0, (len(others) + 1) // 2 + 1) or not others:
        return None
    unseen = ", ".join(member.name for member in others if member.version is None)
    return f"it is cut off from {unseen}, and neither version gets ready alone; the same command goes on when it is not"


def apart(seen: Observation, node: str) -> dict[str, Any] | None:
    """What its system says of a node that is a cluster of its own now (`details.apart`), else None."""
    found = next((member.details.get("apart") for member in seen.members if member.name == node), None)
    return dict(found) if found else None


def diverged(seen: Observation) -> str | None:
    """The members' fingerprints when all are known and they differ: which an old version would not fix; None otherwise."""
    found = {member.name: member.fingerprint for member in seen.members}
    if None in found.values() or len(set(found.values())) == 1:
        return None
    at = f" at {seen.cluster.fingerprint_at}" if seen.cluster.fingerprint_at is not None else ""
    return f"the members' data differs{at}: {', '.join(f'{name} {value}' for name, value in sorted(found.items()))}"


def undo(plan: Plan, node: str, old: str, verbs: list[str], prefix: str) -> dict[str, Any]:
    """What takes a node back to the version before its batch, as a step.

    It waits for what a step that can be taken back waits for. Where mixed versions may be checked, writes below `prefix` are tried.
    """
    waited = {key: value for step in plan.steps if step.undo for key, value in step.settled.items() if key != "node_version"}
    others = [name for name in plan.groups[plan.group_of(node)] if name != node]
    return {
        "name": "undo",
        "node": node,
        "version": old,
        "verbs": verbs,
        "settled": {**waited, "serving": True, "versions": {node: old}},
        "mixed": {"old": others, "new": [node], "prefix": prefix} if plan.settings.mixed_version_check and others else {},
        "deadline": plan.settings.deadline,
    }


def undoing(plan: Plan, begun: set[str]) -> list[str]:
    """The verbs that take steps back which were begun, the last one first."""
    return undone_first(step.undo for step in reversed(plan.steps) if step.undo and step.name in begun)


def back_on(plan: Plan, node: str, old: str, verbs: list[str]) -> str:
    """What is known of a cluster in which a node was put back, and its gates hold."""
    shown = {step.verb for step in plan.steps if step.checks_mixed_versions}
    writes = "writes were not tried"
    if plan.settings.mixed_version_check:
        writes = f"writes were tried through {', '.join(plan.groups[plan.group_of(node)])}"
    elif shown & set(verbs):
        writes = "a write was tried, and every member has it"
    waived = [name for name in plan.back if name in plan.settings.waive]
    besides = f" ({', '.join(waived)} waived)" if waived else ""
    so = {"configure": "It has its former files and runs with them", "restart": "It runs", "reboot": "It runs"}
    so_far = so.get(plan.kind, f"It is back on {old}")
    return f"{so_far}, {len(plan.back) - len(waived)} gates hold as before{besides}, and {writes}"


def to_keep(hop: Hop, observations: Observations, first: bool) -> dict[str, str]:
    """The version to which each member goes back from a hop, where going back needs no packages; which has to be there."""
    if hop.back:
        return {}
    return {name: old for name, old in versions_of(observations).items() if old == hop.start or (first and old != hop.to)}


def versions_of(observations: Mapping[str, Observation]) -> dict[str, str]:
    """What each member runs, as far as it is known."""
    return {m.name: m.version for seen in observations.values() for m in seen.members if m.version}
