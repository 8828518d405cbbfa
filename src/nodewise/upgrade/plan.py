# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what was observed to what will be done: refuse, or resolve everything before anything changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from nodewise.errors import Refused
from nodewise.model import Change, Declaration, Hop, Kind, Observations, Plan, Release, Settings, Step, Subject
from nodewise.upgrade.approval import digest
from nodewise.upgrade.change import REBOOT
from nodewise.upgrade.declared import vocabulary
from nodewise.upgrade.memory import Originals
from nodewise.upgrade.order import batches, refuse_too_many
from nodewise.upgrade.preflight import refuse_no_successor, refuse_outage, refuse_past, refuse_unready
from nodewise.upgrade.waivers import refuse_unwaivable


class Route(NamedTuple):
    """From where to where: hops, of which there is always one; what was before the first; and members to bring back before it."""

    hops: list[Hop]
    kind: Kind = "upgrade"
    before: Originals = Originals({}, {}, {})
    recover: Mapping[str, Release] = {}
    change: Change | None = None  # of a run that changes no version


def make(
    subject: Subject,
    declared: Declaration,
    observations: Observations,
    route: Route,
    settings: Settings,
    own_gates: Mapping[str, Any],
) -> Plan:
    """The plan of an upgrade, a rollback, or a change that leaves the version as it is.

    Raises Refused with a line for each thing that is in the way: an unhealthy or inconsistent cluster, members that are not the
    inventory's, an outage that nobody waived, a leader that nobody may take over from. Members that are brought back first may
    be down.
    """
    known, to = vocabulary(declared, own_gates), route.hops[-1].to
    refuse_too_many(declared, settings)
    if route.kind == "rollback":
        refuse_past(declared, observations, subject.groups, known)
    refuse_unwaivable(settings.waive, known)
    refuse_unready(declared, observations, subject.groups, to, excused=route.recover, own_gates=own_gates, waive=settings.waive)
    running = {member.name: member.version for seen in observations.values() for member in seen.members if member.version}
    brought = {name: release.version for name, release in route.recover.items()}
    plan = Plan(
        kind=route.kind,
        cluster=subject.cluster,
        system=subject.system,
        role=subject.role,
        groups={group: sorted(names) for group, names in subject.groups.items()},
        domains=subject.domains,
        component=subject.component,
        versions={**brought, **running, **route.before.versions},
        acts_as={group: route.before.acts_as.get(group, seen.cluster.version) for group, seen in observations.items()},
        ids={group: route.before.ids.get(group, seen.cluster.id) for group, seen in observations.items()},
        to=to,
        hops=route.hops,
        batches=[],
        steps=[_asked(step, own_gates) for step in declared.steps],
        before_first=declared.before_first if route.kind == "upgrade" else undone(declared.after_last),
        after_last=declared.after_last if route.kind == "upgrade" else undone(declared.before_first),
        lacks=declared.lacks,
        together=declared.together,
        finalize=declared.finalize,
        ready=declared.ready,
        back=declared.back,
        gates=known,
        settings=settings,
        recover=dict(route.recover),
        change=route.change,
    )
    plan.batches = batches(plan, observations)
    refuse_outage(observations, plan)
    refuse_no_successor(observations, plan)
    plan.hash = digest(plan)
    return plan


def _asked(step: Step, own_gates: Mapping[str, Any]) -> Step:
    """A step with the operator's own gates: not one that leaves the member down."""
    return step if step.verb == REBOOT else msgspec.structs.replace(step, after=[*step.after, *own_gates])


def undone(steps: list[Step]) -> list[Step]:
    """The steps that take steps of the cluster back, the last one first."""
    return [Step(f"undo_{step.name}", step.undo, settled=step.settled) for step in reversed(steps) if step.undo]


def architecture(nodes: Mapping[str, Any]) -> str:
    """The one machine architecture of all nodes, as their kernels name it."""
    found = {str(node.get("machine")) for node in nodes.values()}
    if len(found) != 1:
        raise Refused(f"the nodes are of several architectures ({', '.join(sorted(found))}); expected one")
    return found.pop()


def settled(step: Step, hop: Hop, node: str | None, version: str) -> dict[str, Any]:
    """What a step waits for on the node: its declared conditions, with this hop's versions filled in.

    `node_version: to` becomes the version of the current node, `cluster_version: to` the target's minor.
    """
    wanted: dict[str, Any] = {**step.settled}
    if node and wanted.pop("node_version", None):
        wanted["versions"] = {node: version}
    if wanted.get("cluster_version") == "to":
        wanted["cluster_version"] = ".".join(hop.to.split(".")[:2])
    return wanted
