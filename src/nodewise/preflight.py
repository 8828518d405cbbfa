"""Whether each node can carry the upgrade: what `node_info` said of it, held against what will be needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodewise.errors import Refused
from nodewise.model import Plan

UNPACKED = 5  # times the size of an artifact: the archive and what it unpacks to, as release_stage counts it
SPARE = 64 << 20  # bytes on top of that, as release_stage keeps them
UNKNOWN_SIZE = 200 << 20  # bytes to ask for when an artifact does not say its size
MIN_VALID = 86400  # seconds that a certificate must still be good for: one that ends today may end within the roll
MAX_SKEW = 5.0  # seconds between two nodes' clocks: certificates and leases go by them


def refuse_unfit(plan: Plan, nodes: Mapping[str, Any]) -> None:
    """Raise Refused with a line for each node that cannot carry the plan. What a node could not say counts against it."""
    said = [f"{name}: {why}" for name in plan.members for why in unfit(plan, name, nodes[name])]
    ahead = [node["ahead_s"] for node in nodes.values() if node.get("ahead_s") is not None]
    apart = max(ahead) - min(ahead) if ahead else 0.0
    if apart > MAX_SKEW:
        said.append(f"the nodes' clocks are {apart:.1f} s apart, allowed are {MAX_SKEW:.0f} s; mend their time source")
    if said:
        raise Refused("\n".join(said))


def unfit(plan: Plan, name: str, node: Mapping[str, Any]) -> list[str]:
    """What stands against one node. What is missing on one that is to be repaired is what the repair is for."""
    artifacts = [artifact for hop in plan.hops for artifact in hop.release.artifacts]
    needed = SPARE + UNPACKED * sum(artifact.size or UNKNOWN_SIZE for artifact in artifacts)
    free = node.get("free_bytes")
    problems = [str(error) for error in node.get("errors") or [] if name not in plan.repair]
    problems += [
        f"{path} changed after the process began, so a restart would bring up another configuration; "
        "restart the member with it first, or put it back"
        for path in node.get("stale") or []
        if name not in plan.repair
    ]
    if free is None:
        problems.append("free disk space could not be read")
    elif free < needed:
        problems.append(f"{free >> 20} MiB are free for releases, {needed >> 20} MiB are needed; make room")
    data = node.get("data")
    if data and data["free_bytes"] < data["bytes"]:
        had, left = data["bytes"] >> 20, data["free_bytes"] >> 20
        problems.append(f"its data takes {had} MiB and {left} MiB are free; a member needs as much again: make room")
    if node.get("ahead_s") is None:
        problems.append("the clock could not be read")
    for path, certificate in (node.get("certificates") or {}).items():
        if certificate and certificate["seconds_left"] < MIN_VALID:
            problems.append(f"{path} ends at {certificate['not_after']}; renew it first: a node may not come back with it")
    return problems
