"""From what was observed to what will be done: refuse, or resolve everything before anything changes."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from packaging.version import Version

from nodewise import gates, releases
from nodewise.errors import Refused
from nodewise.model import Declaration, Gate, Observation, Plan, Release, Settings, Step, Subject, Turn
from nodewise.releases import Rules


def declaration(role: Path) -> Declaration:
    """Read a role's `meta/upgrade.yml`."""
    path = role / "meta" / "upgrade.yml"
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), Declaration)
    except FileNotFoundError:
        raise Refused(f"{role.name} declares no upgrade: expected {path}") from None
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error


def make(
    subject: Subject,
    declared: Declaration,
    observation: Observation,
    way: list[str],
    release: Release,
    settings: Settings,
    own_gates: Mapping[str, Any],
) -> Plan:
    """The plan of one upgrade.

    Raises Refused with a line for each thing that is in the way: an unhealthy or inconsistent cluster, members that are not the
    inventory's, an outage that nobody accepted.
    """
    known = vocabulary(declared, own_gates)
    refuse_unready(declared, observation, subject.members, release.version)
    versions = {member.name: member.version or "" for member in observation.members}
    pending = [name for name in subject.members if versions[name] != release.version]
    refuse_outage(observation, settings, bool(pending))
    plan = Plan(
        cluster=subject.cluster,
        system=subject.system,
        role=subject.role,
        members=sorted(subject.members),
        versions=versions,
        cluster_version=observation.cluster.version,
        to=release.version,
        hops=way,
        release=release,
        turns=[Turn([name], reason) for name, reason in order(observation, pending)],
        steps=[msgspec.structs.replace(step, after=[*step.after, *own_gates]) for step in declared.steps],
        finalize=declared.finalize,
        gates=known,
        point_of_no_return=declared.point_of_no_return,
        settings=settings,
    )
    plan.hash = digest(plan)
    return plan


def hops(rules: Rules, observation: Observation, to: str) -> list[str]:
    """The way from the lowest running version to the target; [] when every member is there.

    Raises Refused for a target that is unknown or older, and for one that takes more than one hop: one run makes one.
    """
    running = sorted({member.version for member in observation.members if member.version} - {to}, key=Version)
    way = releases.path(rules, running[0], to) if running else releases.path(rules, to, to)
    if len(way) > 1:
        raise Refused(
            f"{running[0]} → {to} skips a minor: the way is {' → '.join(way)}.\n"
            f"Upgrade to the first of these, then run again: -e nodewise_to={way[0]}"
        )
    return way


def architecture(nodes: Mapping[str, Any]) -> str:
    """The one machine architecture of all nodes, as their kernels name it."""
    found = {str(node.get("machine")) for node in nodes.values()}
    if len(found) != 1:
        raise Refused(f"the nodes are of several architectures ({', '.join(sorted(found))}); expected one")
    return found.pop()


def vocabulary(declared: Declaration, own: Mapping[str, Any]) -> dict[str, Gate]:
    """Every gate that can be asked: the engine's, the system's, the operator's. Raises Refused for a name that nobody defines."""
    known = {**gates.builtin(), **gates.parse_gates(declared.gates), **gates.parse_gates(dict(own))}
    asked = [*declared.ready, *declared.finalize.after, *(name for step in declared.steps for name in step.after)]
    if unknown := sorted(set(asked) - set(known)):
        raise Refused(
            f"meta/upgrade.yml names gates that nobody defines: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    return known


def refuse_unready(declared: Declaration, observation: Observation, members: list[str], to: str = "") -> None:
    """Raise Refused unless every gate holds before anything has begun."""
    known = vocabulary(declared, {})
    asked = gates.context(observation, observation, members, to=to)
    said = [verdict for name in declared.ready if not (verdict := gates.judge(known[name], asked)).ok]
    if said:
        raise Refused(f"{gates.told(said)}\nMend the cluster, then run the same command again")


def refuse_outage(observation: Observation, settings: Settings, pending: bool) -> None:
    """Raise Refused when stopping one member would stop the cluster and nobody accepted that."""
    serving = sum(member.serving for member in observation.members)
    quorum = observation.cluster.quorum
    if not pending or settings.accept_outage:
        return
    if quorum is None:
        raise Refused("the quorum could not be read, so no member may be stopped; look at the members' errors")
    if serving - 1 < quorum:
        raise Refused(
            f"{serving} of {len(observation.members)} members serve and {quorum} are needed: stopping one is an outage.\n"
            "Add members first, or say that the outage is accepted: -e nodewise_accept_outage=true"
        )


def order(observation: Observation, pending: list[str]) -> list[tuple[str, str]]:
    """The pending members in the order of their turns, each with its reason: a canary first, the leader last."""
    leader = observation.cluster.leader
    followers = [name for name in sorted(pending) if name != leader]
    first = len(pending) == len(observation.members)
    turns = [(name, "a follower; the canary" if first and i == 0 else "a follower") for i, name in enumerate(followers)]
    return turns + [(name, "the leader: last, after handing over") for name in pending if name == leader]


def digest(plan: Plan) -> str:
    """The first 12 hex digits of a SHA-256 over what is approved: not the order, not the leader."""
    covered = msgspec.to_builtins(plan)
    for key in ("turns", "hash"):
        covered.pop(key)
    return hashlib.sha256(msgspec.json.encode(covered, order="sorted")).hexdigest()[:12]


def settled(step: Step, plan: Plan, node: str | None, version: str) -> dict[str, Any]:
    """What a step waits for on the node: its declared conditions, with this plan's members and versions filled in.

    `node_version: to` becomes the version of the node in hand, `cluster_version: to` the target's minor.
    """
    if not step.settled:
        return {}
    wanted: dict[str, Any] = {"members": plan.members, **step.settled}
    if node and wanted.pop("node_version", None):
        wanted["versions"] = {node: version}
    if wanted.get("cluster_version") == "to":
        wanted["cluster_version"] = ".".join(plan.to.split(".")[:2])
    return wanted


def describe(plan: Plan) -> list[str]:
    """The plan as an operator reads it before saying yes, line by line."""
    runs = ", ".join(f"{name} {version}" for name, version in sorted(plan.versions.items()))
    lines = [f"plan {plan.hash}: {plan.cluster} ({plan.system}) to {plan.to}", *_line("now", runs)]
    if plan.hops:
        lines += _line("way", " → ".join([min(plan.versions.values(), key=Version), *plan.hops]))
    for artifact in plan.release.artifacts:
        lines += _line("stage", f"{artifact.package or artifact.url.rsplit('/', 1)[-1]}, sha256 {artifact.sha256[:12]}…")
    for number, turn in enumerate(plan.turns, 1):
        lines += _line(f"turn {number}", f"{', '.join(turn.nodes)}: {turn.reason}")
    for step in plan.steps:
        who = "the leader only" if step.only == "leader" else "each node"
        lines += _line(step.name, f"{who}; then asks {', '.join(step.after)}")
    lines += _line("end", f"asks {', '.join(plan.finalize.after)}")
    return lines + _line("no return", plan.point_of_no_return or "never: the old version can always be put back")


def _line(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, 84, initial_indent=f"  {head:10}", subsequent_indent=" " * 12, break_long_words=False)
