# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is changed after whom: a canary first, a leader last, one failure domain at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from packaging.version import Version

from nodewise.errors import Refused
from nodewise.model import Batch, Declaration, Hop, Member, Observations, Plan, Settings

AT_ONCE = re.compile(r"[1-9]\d*%?")


def behind(plan: Plan, hop: Hop, version: str | None) -> bool:
    """Whether a member that runs a version has its batch in this hop still before it."""
    if version is None or plan.kind == "rollback":
        return version != hop.to
    return Version(version) < Version(hop.to)


def stands(plan: Plan, observations: Observations) -> dict[str, str | None]:
    """Which version each member has reached; None where that is unknown, and for one that was left in the middle of its batch.

    Such a member (`details.unfinished`) is taken through its batch again, whatever it runs: its steps may be run twice. One that
    waits for a change which is no other version has reached nothing.
    """
    waiting = plan.change.waiting if plan.change else []
    members = [member for seen in observations.values() for member in seen.members]
    return {one.name: None if one.details.get("unfinished") or one.name in waiting else one.version for one in members}


def batches(plan: Plan, observations: Observations) -> list[Batch]:
    """All batches of all hops as they would be if nothing moved but what the plan moves."""
    versions = stands(plan, observations)
    leaders = {group: seen.cluster.leader for group, seen in observations.items()}
    found = []
    for hop in plan.hops:
        while left := {group: some for group, names in plan.groups.items() if (some := _behind(plan, hop, names, versions))}:
            batch = pick(plan, leaders, left, canary=not any(versions.get(name) == hop.to for name in plan.members))
            found.append(msgspec.structs.replace(batch, to=hop.to))
            for name in batch.nodes:
                versions[name] = hop.to
                group = next(one for one in left if name in left[one])
                if leaders[group] == name and (others := [other for other in plan.groups[group] if other != name]):
                    leaders[group] = next((other for other in others if versions.get(other) == hop.to), others[0])
    return found


def refuse_too_many(declared: Declaration, settings: Settings) -> None:
    """Raise Refused for a number of members to change at once that is none, or that this system does not allow."""
    asked = settings.max_unavailable
    if not AT_ONCE.fullmatch(asked):
        raise Refused(f"nodewise_max_unavailable is {asked!r}; expected a number of members such as 2, or a share such as 25%")
    if asked != "1" and not declared.together:
        raise Refused(
            f"nodewise_max_unavailable is {asked}, and members of this system need one another: they are changed one at a time"
        )


def at_once(plan: Plan, group: str, spare: int | None = None) -> int:
    """How many members of a group may be changed together; never more than `spare`, what those who use it can do without now."""
    asked = plan.settings.max_unavailable
    most = len(plan.groups[group]) * int(asked[:-1]) // 100 if asked.endswith("%") else int(asked)
    return max(1, most if spare is None else min(most, spare))


def _behind(plan: Plan, hop: Hop, names: list[str], versions: Mapping[str, str | None]) -> list[str]:
    return [name for name in names if behind(plan, hop, versions.get(name))]


def pick(
    plan: Plan,
    leaders: Mapping[str, str | None],
    left: Mapping[str, list[str]],
    *,
    canary: bool,
    spare: Mapping[str, int | None] = MappingProxyType({}),
) -> Batch:
    """The next batch of the members that are `left` in each group: one of a group, all in one failure domain.

    Of a system whose members do not need one another it is as many of a group as may be changed at once, and can be spared.
    A canary goes alone; a leader goes after all others of its group.
    """
    waiting = {group: [name for name in names if name != leaders.get(group)] or names for group, names in left.items()}
    if canary:
        followers = {group: names for group, names in waiting.items() if names != [leaders.get(group)]} or waiting
        group = next(iter(followers))
        name = min(followers[group], key=lambda one: (plan.domains.get(one, ""), one))
        return Batch([name], f"{_place(plan, name, leaders)}; the canary")
    domain = min(plan.domains.get(name, "") for names in waiting.values() for name in names)
    there = {group: sorted(name for name in names if plan.domains.get(name, "") == domain) for group, names in waiting.items()}
    nodes = [name for group, names in there.items() for name in names[: at_once(plan, group, spare.get(group))]]
    if plan.together and len(nodes) > 1:
        return Batch(nodes, f"{len(nodes)} at once{f', all in {domain}' if domain else ''}")
    if len(nodes) == 1:
        return Batch(nodes, _place(plan, nodes[0], leaders))
    leading = sum(name in leaders.values() for name in nodes)
    where = f", all in {domain}" if domain else ""
    return Batch(nodes, f"one of each of {len(nodes)} groups{where}" + (f"; {leading} lead and hand over first" if leading else ""))


def _place(plan: Plan, name: str, leaders: Mapping[str, str | None]) -> str:
    where = f" in {plan.domains[name]}" if plan.domains.get(name) else ""
    if "leader" in plan.lacks:
        return f"a member{where}"
    if name not in leaders.values():
        return f"a follower{where}"
    return f"the leader{where}: last, after handing over" if hands_over(plan) else f"the leader{where}: last"


def hands_over(plan: Plan) -> bool:
    """Whether a leader is taken only after another member leads: whether there are steps for leaders."""
    return any(step.only == "leader" for step in plan.steps)


def barred(member: Member) -> str:
    """Why a member may not take leadership over at this moment, in some words; nothing where it may."""
    if not member.serving:
        return "does not serve"
    if member.role == "learner":
        return "is a learner"
    if member.details.get("candidate") is False:
        return str(member.details.get("barred") or "is no candidate, as the system says")
    return ""
