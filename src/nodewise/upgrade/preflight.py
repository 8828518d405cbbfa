# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an upgrade may begin: the cluster is ready, a quorum stays, and each node can carry it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from nodewise.errors import Refused
from nodewise.gates.context import context
from nodewise.gates.judgement import judge, numbers, unmet
from nodewise.model import Declaration, Gate, Hop, Observation, Observations, Plan, Step
from nodewise.upgrade.declared import vocabulary
from nodewise.upgrade.order import barred, hands_over
from nodewise.upgrade.waivers import way_to

UNPACKED = 5  # times the size of an artifact: the archive and what it unpacks to, as release_stage counts it
SPARE = 64 << 20  # bytes on top of that, as release_stage keeps them
UNKNOWN_SIZE = 200 << 20  # bytes to ask for when an artifact does not say its size
MIN_VALID = 86400  # seconds that a certificate must still be good for: one that ends today may end within the roll
MAX_SKEW = 5.0  # seconds between two nodes' clocks: certificates and leases go by them


def refuse_unfit(plan: Plan, nodes: Mapping[str, Any]) -> None:
    """Raise Refused with a line for each thing that keeps a node from carrying the plan. What a node could not say is one, too."""
    said = [f"{name}: {why}" for name in plan.members for why in unfit(plan, name, nodes[name])]
    found = differences(plan, nodes)
    # What an upgrade must not bring along is what a restart is for: its plan shows it.
    left = {name: [one for one in found[name] if one["hash"] not in plan.settings.waive] for name in found if not plan.change}
    said += [f"{name}: {brought(one)}; {one['do']} ({one['hash']})" for name, all_of_it in left.items() for one in all_of_it]
    if hashes := [one["hash"] for all_of_it in left.values() for one in all_of_it]:
        said.append(f"Where that is meant to come with the upgrade, let it pass in this run: {way_to(*hashes)}")
    ahead = [node["ahead_s"] for node in nodes.values() if node.get("ahead_s") is not None]
    apart = max(ahead) - min(ahead) if ahead else 0.0
    if apart > MAX_SKEW:
        said.append(f"the nodes' clocks are {apart:.1f} s apart, allowed are {MAX_SKEW:.0f} s; fix their time source")
    if said:
        raise Refused("\n".join(said))


def unfit(plan: Plan, name: str, node: Mapping[str, Any]) -> list[str]:
    """What stands against one node. What is missing on one that is to be recovered is what the recovery is for."""
    artifacts = [artifact for hop in plan.hops for artifact in hop.release.artifacts]
    needed = SPARE + UNPACKED * sum(artifact.size or UNKNOWN_SIZE for artifact in artifacts)
    free = node.get("free_bytes")
    problems = [str(error) for error in node.get("errors") or [] if name not in plan.recover]
    problems += unstartable(plan, node.get("restart") or {}) if name in restarted(plan) else []
    problems += [
        f"{one['name']} (pid {one['pid']}) is at work and may restart services at any moment; wait until it ends "
        "(needrestart may be asking in a terminal), then run the same command again"
        for one in node.get("restarters") or []
    ]
    if free is None:
        problems.append("free disk space could not be read")
    elif free < needed:
        problems.append(f"{free >> 20} MiB are free for releases, {needed >> 20} MiB are needed; make room")
    data = node.get("data")
    if data and data.get("room", True) and data["free_bytes"] < data["bytes"] and not plan.change:
        had, left = data["bytes"] >> 20, data["free_bytes"] >> 20
        problems.append(f"its data takes {had} MiB and {left} MiB are free; a member needs as much again: make room")
    if node.get("ahead_s") is None:
        problems.append("the clock could not be read")
    for path, certificate in (node.get("certificates") or {}).items():
        if certificate and certificate["seconds_left"] < MIN_VALID and plan.kind != "configure":  # which renews it
            problems.append(f"{path} ends at {certificate['not_after']}; renew it first: a node may not come back with it")
    return problems


def installs(hop: Hop) -> bool:
    """Whether the nodes' package manager installs a hop's release, or what goes back from it."""
    artifacts = [*hop.release.artifacts, *(hop.back.artifacts if hop.back else [])]
    return any(artifact.kind == "package" for artifact in artifacts)


def busy(plan: Plan, nodes: Mapping[str, Any]) -> list[str]:
    """Who holds the locks of a node's package manager, a line a node; nothing where no packages are installed."""
    if not any(map(installs, plan.hops)):
        return []
    held = {name: (nodes[name].get("packages") or {}).get("locks") or {} for name in plan.members}
    told = {name: "; ".join(f"{path} is held by {who}" for path, who in locks.items()) for name, locks in held.items() if locks}
    return [f"{name}: {why}: it is waited for before {name} is changed" for name, why in told.items()]


def restarted(plan: Plan) -> set[str]:
    """The members that the plan restarts as they are; those to recover are made anew first."""
    return {name for batch in plan.batches for name in batch.nodes} - set(plan.recover)


def differences(plan: Plan, nodes: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """What a restart would bring up besides the new version, by the members that the plan restarts."""
    return {name: list((nodes[name].get("restart") or {}).get("differences") or []) for name in sorted(restarted(plan))}


def brought(difference: Mapping[str, str]) -> str:
    """One of these in words, with both values."""
    return f"{difference['what']}: now {difference['runs']}, after a restart {difference['restart']}"


def waived(plan: Plan, nodes: Mapping[str, Any]) -> list[str]:
    """What of what a restart brings up was waived, a line each."""
    found, waive = differences(plan, nodes), plan.settings.waive
    return [f"waived on {name}: {brought(one)} ({one['hash']})" for name in found for one in found[name] if one["hash"] in waive]


def unstartable(plan: Plan, restart: Mapping[str, Any]) -> list[str]:
    """Why the plan's release would not be what starts, or would be given up by systemd before the plan's deadline."""
    problems, limit, deadline = [], restart.get("limit"), plan.settings.deadline
    artifacts = [artifact for hop in plan.hops for artifact in hop.release.artifacts]
    packaged = bool(artifacts) and all(artifact.kind == "package" for artifact in artifacts)
    if restart.get("exec_start") and not plan.change and not packaged:
        problems.append(
            f"its ExecStart does not go through {restart['link']}, which the upgrade switches; give the unit a drop-in with "
            f"ExecStart= and {restart['exec_start']} (systemctl edit), and restart the member with it"
        )
    if limit and limit["seconds"] < deadline:
        problems.append(
            f"systemd ends its start after {limit['seconds']:g} s ({limit['setting']}), and the plan waits {deadline:g} s; "
            f"give the unit a drop-in with {limit['setting']}=infinity (systemctl edit), or lower nodewise_deadline"
        )
    return problems


def refuse_unready(
    declared: Declaration,
    observations: Observations,
    groups: Mapping[str, list[str]],
    to: str = "",
    *,
    excused: Container[str] = (),
    own_gates: Mapping[str, Any] = MappingProxyType({}),
    waive: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raise Refused unless every gate holds in each group before anything has begun; members to recover are not asked about.

    A gate that measures no number, whenever it will be asked, is refused, too.
    """
    known, lines = vocabulary(declared, own_gates), []
    for group, names in groups.items():
        if group not in observations:
            raise Refused(f"{group} was not observed; every member must be reachable before one is changed")
        seen = without(observations[group], excused)
        asked = context(seen, seen, [name for name in names if name not in excused], to=to)
        _refuse_numberless(known.values(), asked)
        said = [verdict for name in declared.ready if not (verdict := judge(known[name], asked, waive)).passes]
        lines += [f"{group}: {unmet(said)}" if len(groups) > 1 else unmet(said)] if said else []
    if lines:
        raise Refused("\n".join([*lines, "Fix the cluster, then run the same command again"]))


def _refuse_numberless(gates: Iterable[Gate], asked: dict[str, Any]) -> None:
    for gate in gates:
        try:
            numbers(gate, asked)
        except ValueError as error:
            raise Refused(f"gate {gate.name} cannot be read: {error}") from None


def without(seen: Observation, excused: Container[str]) -> Observation:
    """An observation without the members that are known to be down, and without what it says of them in the cluster's details."""
    cluster = msgspec.structs.replace(seen.cluster, details=_pruned(seen.cluster.details, excused))
    members = [member for member in seen.members if member.name not in excused]
    return msgspec.structs.replace(seen, cluster=cluster, members=members)


def _pruned(details: Any, excused: Container[str]) -> Any:
    """Details without members: what belongs to one has its name for a key, or says so in `member`."""
    if isinstance(details, dict):
        return {key: _pruned(value, excused) for key, value in details.items() if key not in excused}
    if isinstance(details, list):
        return [_pruned(one, excused) for one in details if not (isinstance(one, dict) and one.get("member") in excused)]
    return details


def refuse_outage(observations: Observations, plan: Plan) -> None:
    """Raise Refused when stopping one member would stop a group and nobody waived that."""
    for group, seen in observations.items():
        serving = sum(member.serving or member.name in plan.recover for member in seen.members)
        quorum = seen.cluster.quorum
        if not plan.batches or "quorum" in plan.lacks:
            return
        if quorum is None:
            raise Refused(f"the quorum of {group} could not be read, so no member may be stopped; look at the members' errors")
        if serving - 1 < quorum and "quorum_at_risk" not in plan.settings.waive:
            raise Refused(
                f"{serving} of {len(seen.members)} members of {group} serve and {quorum} are needed: stopping one is an outage.\n"
                f"Add members first, or let it pass in this run: {way_to('quorum_at_risk')}"
            )


def refuse_past(
    declared: Declaration, observations: Observations, groups: Mapping[str, list[str]], known: Mapping[str, Gate]
) -> None:
    """Raise Refused when a step of the cluster is done that is the point of no return: a rollback comes too late."""
    no_return = declared.point_of_no_return
    for step in [*declared.before_first, *declared.after_last]:
        if no_return and step.name == no_return.before and holds(step, observations, groups, known):
            raise Refused(f"step {step.name} of the cluster is done, {no_return.says}; there is no way back. Nothing was changed")


def holds(step: Step, observations: Observations, groups: Mapping[str, list[str]], known: Mapping[str, Gate], to: str = "") -> bool:
    """Whether every gate of a step of the cluster holds in each group: then it is done."""
    asked = [context(seen, seen, groups[group], to=to) for group, seen in observations.items()]
    return bool(step.after and asked) and all(judge(known[name], about).ok for about in asked for name in step.after)


def refuse_short_window(plan: Plan, seconds: float | None, opens: datetime | None, closes: datetime | None, now: datetime) -> None:
    """Raise Refused when the change window closes before the plan would be at its end, by `seconds`; without them nobody knows.

    `opens` and `closes` are those of `approval.window`.
    """
    if closes is None or seconds is None or not plan.batches or "window_closed" in plan.settings.waive:
        return
    left = (closes - (opens or now)).total_seconds()
    if left < seconds:
        raise Refused(
            f"the change window is open for {left:.0f} s, until {closes:%Y-%m-%d %H:%M}, and the plan takes about {seconds:.0f} s "
            "by what earlier runs took.\n"
            f"Choose a longer window, or let it pass in this run: {way_to('window_closed')}"
        )


def refuse_no_successor(observations: Observations, plan: Plan) -> None:
    """Raise Refused when the batch of a leader would find nobody to hand over to, in this hop or a later one.

    A member that is brought back first, or that an earlier run left in the middle of its batch, may be one once it is back.
    """
    changed, hops = {name for batch in plan.batches for name in batch.nodes}, {batch.to for batch in plan.batches}
    lines = []
    for seen in observations.values() if hands_over(plan) else ():
        why = {one.name: "" if one.name in plan.recover or one.details.get("unfinished") else barred(one) for one in seen.members}
        leader, able = seen.cluster.leader, {name for name, reason in why.items() if not reason}
        # Whoever took over in one hop hands over in the next one.
        if leader in changed and len(why) > 1 and (not able - {leader} or (len(hops) > 1 and len(able) == 1)):
            said = "; ".join(f"{name} {reason}" for name, reason in why.items() if reason)
            lines.append(f"{leader} leads and no member may take over from it, which its upgrade needs: {said}")
    if lines:
        raise Refused("\n".join([*lines, "Let one of them take over, then run the same command again"]))
