# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the nodes remember of upgrades: versions from before the first change, and what is not at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nodewise.errors import Refused
from nodewise.model import STAYING, Declaration, Kind, Observations, Plan, Subject
from nodewise.record.commands import command, named

FINISHED = ("upgraded", "changed", "unchanged", "rolled_back")  # outcomes after which nothing is left to resume


class Originals(NamedTuple):
    """What was before the first change of an upgrade that is resumed: versions of members, what groups acted as, and their ids."""

    versions: dict[str, str]
    acts_as: dict[str, str | None]
    ids: dict[str, str | None]


def about(component: str, kind: Kind) -> str:
    """Under which name the nodes remember a run: a restart must not have them forget the upgrade that it came after."""
    return f"{component}:{kind}" if kind in STAYING else component


def record_of(state: Mapping[str, Any] | None, component: str) -> dict[str, Any] | None:
    """What a node remembers of the last upgrade of one component, from its state."""
    return next((record for record in _records(state) if record.get("component", "") == component), None)


def _records(state: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Every record that a node keeps, of whichever component."""
    known = state or {}
    return [record for record in [*(known.get("others") or {}).values(), known.get("upgrade")] if record]


def refuse_unfinished(states: Mapping[str, Mapping[str, Any] | None], subject: Subject) -> None:
    """Raise Refused while the upgrade of another component has begun to change members and has not ended."""
    for name, state in states.items():
        for record in _records(state):
            if record.get("component", "") == subject.component or record["outcome"] in (*FINISHED, "refused"):
                continue
            if record["kind"] in STAYING:  # it may be what the upgrade is to heal, and leaves no mixed versions
                continue
            if record["steps"]:
                what, of = record.get("component") or subject.system, named(subject.cluster, record.get("component", ""))
                on = command("upgrade", f"{of} -e nodewise_to={record['to']}")
                raise Refused(
                    f"an upgrade of {what} to {record['to']} has not ended ({name}: {record['outcome'] or 'interrupted'}).\n"
                    f"End it first: {on}, "
                    f"or take it back: {command('rollback', of)}"
                )


def originals(records: Mapping[str, Any], observations: Observations, to: str) -> Originals:
    """What the nodes remember of an unfinished upgrade to the same version; a version that is not on its way is drift."""
    found = Originals({}, {}, {})
    for group, seen in observations.items():
        for member in seen.members:
            record = records.get(member.name) or {}
            if record.get("kind") != "upgrade" or record.get("to") != to or record.get("outcome") in FINISHED:
                continue
            if member.version in (None, record["from"], *record["path"]):
                found.versions[member.name] = record["from"]
                found.acts_as[group] = record["cluster_version"]
                if "cluster_id" in record:  # one that 0.1 began does not have it
                    found.ids[group] = record["cluster_id"]
    return found


def begun_by(records: Iterable[Mapping[str, Any] | None], plan: Plan) -> list[str | None]:
    """Who began the unfinished upgrade that a plan goes on with; None for a record that does not say."""
    mine = (one for one in records if one and (one["to"], one["kind"]) == (plan.to, plan.kind) and one["outcome"] not in FINISHED)
    return [one.get("by") for one in mine]


def to_recover(asked: Iterable[str], declared: Declaration, records: Mapping[str, Any], observations: Observations) -> list[str]:
    """The members to bring back first: those that an operator named, and one whose last step failed or was never ended.

    Raises Refused for a name that is no member.
    """
    down = {member.name for seen in observations.values() for member in seen.members if not member.serving}
    cut = {name for name, record in records.items() if name in down and _cut_off(declared, record or {})}
    if unknown := sorted(set(asked) - set(records)):
        raise Refused(f"nodewise_recover names {', '.join(unknown)}; the members are {', '.join(sorted(records))}")
    absent = set(records) - {member.name for seen in observations.values() for member in seen.members}
    return sorted(cut | (set(asked) & (down | absent)))


def _cut_off(declared: Declaration, record: Mapping[str, Any]) -> bool:
    """Whether a run died on the member, or left it down; what it staged there changed nothing that runs."""
    names = {"undo", "recover", *(step.name for step in declared.steps)}
    steps = [step for step in record.get("steps", []) if step["step"] in names]
    return bool(steps) and steps[-1].get("ok") is not True
