"""From what was observed to what will be done: refuse, or resolve everything before anything changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import yaml
from packaging.version import Version

from nodewise import gates, releases
from nodewise.errors import Refused
from nodewise.model import Declaration, Gate, Hop, NoReturn, Observation, Plan, Release, Settings, Step, Subject, Turn
from nodewise.releases import Rules

Observations = Mapping[str, Observation]  # quorum group -> what it says of itself
UNCOVERED = ("turns", "repair", "gaps", "hash")  # of a plan: what changes between a run and its resumption
FINISHED = ("upgraded", "unchanged", "rolled_back")  # outcomes after which nothing is left to resume


def declaration(role: Path, component: str = "") -> Declaration:
    """Read a role's `meta/upgrade.yml`, or that of one of its components, `meta/<component>/upgrade.yml`.

    A component has the gates of its system, too.
    """
    path = role / "meta" / component / "upgrade.yml"
    try:
        declared = msgspec.convert(yaml.safe_load(path.read_text()), Declaration)
    except FileNotFoundError:
        raise Refused(f"{role.name} declares no upgrade: expected {path}") from None
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    if not component:
        return declared
    return msgspec.structs.replace(declared, gates={**declaration(role).gates, **declared.gates})


def components(role: Path) -> list[str]:
    """The parts of a system that are upgraded on their own, by name."""
    return sorted(path.parent.name for path in (role / "meta").glob("*/upgrade.yml"))


def named(cluster: str, component: str) -> str:
    """The words of a command that say what it is about."""
    return f"-e nodewise_cluster={cluster}" + (f" -e nodewise_component={component}" if component else "")


class Originals(NamedTuple):
    """What was before the first change of an upgrade that is resumed: versions of members, and what groups acted as."""

    versions: dict[str, str]
    acts_as: dict[str, str | None]


class Route(NamedTuple):
    """From where to where: hops, of which there is always one; what was before the first; and members to bring back before it."""

    hops: list[Hop]
    kind: Literal["upgrade", "rollback"] = "upgrade"
    before: Originals = Originals({}, {})
    repair: Mapping[str, Release] = {}


def make(
    subject: Subject,
    declared: Declaration,
    observations: Observations,
    route: Route,
    settings: Settings,
    own_gates: Mapping[str, Any],
) -> Plan:
    """The plan of one upgrade, or of a rollback.

    Raises Refused with a line for each thing that is in the way: an unhealthy or inconsistent cluster, members that are not the
    inventory's, an outage that nobody accepted. Members that are brought back first may be down.
    """
    known, to = vocabulary(declared, own_gates), route.hops[-1].to
    refuse_unready(declared, observations, subject.groups, to, excused=route.repair)
    running = {member.name: member.version for seen in observations.values() for member in seen.members if member.version}
    brought = {name: release.version for name, release in route.repair.items()}
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
        to=to,
        hops=route.hops,
        turns=[],
        steps=[msgspec.structs.replace(step, after=[*step.after, *own_gates]) for step in declared.steps],
        finalize=declared.finalize,
        gates=known,
        settings=settings,
        repair=dict(route.repair),
    )
    plan.turns = turns(plan, observations)
    refuse_outage(observations, settings, plan)
    plan.hash = digest(plan)
    return plan


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
            if record["steps"]:
                what, of = record.get("component") or subject.system, named(subject.cluster, record.get("component", ""))
                raise Refused(
                    f"an upgrade of {what} to {record['to']} is not at its end ({name}: {record['outcome'] or 'interrupted'}).\n"
                    f"End it first: ansible-playbook playbooks/upgrade.yml {of} -e nodewise_to={record['to']}, "
                    f"or take it back: ansible-playbook playbooks/rollback.yml {of}"
                )


def originals(records: Mapping[str, Any], observations: Observations, to: str) -> Originals:
    """What the nodes remember of an unfinished upgrade to the same version; a version that is not on its way is drift."""
    found = Originals({}, {})
    for group, seen in observations.items():
        for member in seen.members:
            record = records.get(member.name) or {}
            if record.get("kind") != "upgrade" or record.get("to") != to or record.get("outcome") in FINISHED:
                continue
            if member.version in (None, record["from"], *record["path"]):
                found.versions[member.name] = record["from"]
                found.acts_as[group] = record["cluster_version"]
    return found


def hops(rules: Rules, running: Iterable[str], to: str, via: list[str] | None = None) -> list[str]:
    """The way from the lowest running version to the target; [] when every member is there.

    `via` are versions to stop at on the way, instead of those that the system's rules name. Raises Refused for a target that is
    unknown or older.
    """
    found = sorted({version for version in running if version and version != to}, key=Version)
    return releases.path(rules, found[0] if found else to, to, via)


class Resolver(NamedTuple):
    """How a version becomes a release, and what has to be kept so that a running one can be put back (None: nothing)."""

    release: Callable[[str], Release]
    back: Callable[[str], Release | None] = lambda _version: None

    def hop(self, start: str, to: str, no_return: NoReturn | None = None) -> Hop:
        """One hop with all that it needs on the nodes."""
        return Hop(start, to, self.release(to), no_return, self.back(start) if start != to else None)


def way(rules: Rules, declared: Declaration, start: str, versions: list[str], resolver: Resolver) -> list[Hop]:
    """Hops through `versions`, each with its releases and with where going back ends."""
    pairs = zip([start, *versions], versions, strict=False)
    return [resolver.hop(before, to, _no_return(rules, declared, before, to)) for before, to in pairs]


def way_back(rules: Rules, declared: Declaration, records: Mapping[str, Any], observations: Observations) -> tuple[str, str]:
    """From which version to which one a cluster can go back: one rung down what the nodes remember of their last upgrade.

    Raises Refused when nothing is remembered, when nothing is left to go back to, or when the technology no longer can.
    """
    running = sorted({m.version for seen in observations.values() for m in seen.members if m.version}, key=Version)
    known = [record for record in records.values() if record]
    rungs = sorted({*(version for record in known for version in (record["from"], *record["path"])), *running}, key=Version)
    if not known or not running:
        raise Refused("the nodes remember no upgrade, so there is nothing to go back to; nothing was changed")
    high, low = running[-1], running[0]
    if low == high:
        below = [rung for rung in rungs if Version(rung) < Version(low)]
        if not below:
            raise Refused(f"every member runs {low}, which is where the last upgrade began: there is nothing to go back to")
        low = below[-1]
    against = _no_return(rules, declared, low, high)
    moved = [
        f"{name} acts as {seen.cluster.version or 'unknown'}" for name, seen in observations.items() if not _acts_as(seen, low)
    ]
    if against and moved:
        raise Refused(
            f"{high} cannot be taken back to {low}: {'; '.join(moved)}, and the old binary no longer starts on that.\n"
            "The way back is to restore the backup, which loses what was written since: ansible-playbook playbooks/restore.yml"
        )
    return high, low


def _acts_as(seen: Observation, version: str) -> bool:
    return seen.cluster.version is not None and f"{version}.".startswith(f"{seen.cluster.version}.")


def _no_return(rules: Rules, declared: Declaration, start: str, to: str) -> NoReturn | None:
    """A system that enters minors one by one cannot leave one; within a minor it can go back at any time."""
    same = Version(start).release[:2] == Version(to).release[:2]
    return None if rules.hops.step == "minor" and same else declared.point_of_no_return


def to_repair(asked: Iterable[str], declared: Declaration, records: Mapping[str, Any], observations: Observations) -> list[str]:
    """The members to bring back first: those that an operator named, and one whose last step failed or was never ended.

    Raises Refused for a name that is no member.
    """
    down = {member.name for seen in observations.values() for member in seen.members if not member.serving}
    cut = {name for name, record in records.items() if name in down and _cut_off(declared, record or {})}
    if unknown := sorted(set(asked) - set(records)):
        raise Refused(f"nodewise_repair names {', '.join(unknown)}; the members are {', '.join(sorted(records))}")
    absent = set(records) - {member.name for seen in observations.values() for member in seen.members}
    return sorted(cut | (set(asked) & (down | absent)))


def _cut_off(declared: Declaration, record: Mapping[str, Any]) -> bool:
    """Whether a run died on the member, or left it down; what it staged there changed nothing that runs."""
    names = {"undo", "repair", *(step.name for step in declared.steps)}
    steps = [step for step in record.get("steps", []) if step["step"] in names]
    return bool(steps) and steps[-1].get("ok") is not True


def repaired_to(name: str, groups: Mapping[str, list[str]], observations: Observations, way: list[Hop]) -> str:
    """The version to bring a member back on: the lowest that the others of its group run, with which they all let it in."""
    group = next(group for group, names in groups.items() if name in names)
    others = [member for member in observations[group].members if member.name != name and member.serving]
    return min((member.version for member in others if member.version), key=Version, default=way[-1].to)


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


def refuse_unready(
    declared: Declaration,
    observations: Observations,
    groups: Mapping[str, list[str]],
    to: str = "",
    *,
    excused: Container[str] = (),
) -> None:
    """Raise Refused unless every gate holds in each group before anything has begun; members to repair are not asked about."""
    known, lines = vocabulary(declared, {}), []
    for group, names in groups.items():
        if group not in observations:
            raise Refused(f"{group} was not observed; every member must be reachable before one is changed")
        seen = without(observations[group], excused)
        asked = gates.context(seen, seen, [name for name in names if name not in excused], to=to)
        said = [verdict for name in declared.ready if not (verdict := gates.judge(known[name], asked)).ok]
        lines += [f"{group}: {gates.told(said)}" if len(groups) > 1 else gates.told(said)] if said else []
    if lines:
        raise Refused("\n".join([*lines, "Mend the cluster, then run the same command again"]))


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


def refuse_outage(observations: Observations, settings: Settings, plan: Plan) -> None:
    """Raise Refused when stopping one member would stop a group and nobody accepted that."""
    for group, seen in observations.items():
        serving = sum(member.serving or member.name in plan.repair for member in seen.members)
        quorum = seen.cluster.quorum
        if not plan.turns or settings.accept_outage:
            return
        if quorum is None:
            raise Refused(f"the quorum of {group} could not be read, so no member may be stopped; look at the members' errors")
        if serving - 1 < quorum:
            raise Refused(
                f"{serving} of {len(seen.members)} members of {group} serve and {quorum} are needed: stopping one is an outage.\n"
                "Add members first, or say that the outage is accepted: -e nodewise_accept_outage=true"
            )


def behind(plan: Plan, hop: Hop, version: str | None) -> bool:
    """Whether a member that runs a version has its turn in this hop still before it."""
    if version is None or plan.kind == "rollback":
        return version != hop.to
    return Version(version) < Version(hop.to)


def stands(observations: Observations) -> dict[str, str | None]:
    """Which version each member has reached; None where that is unknown, and for one that was left in the middle of its turn.

    Such a member (`details.unfinished`) takes its turn again, whatever it runs: its steps may be run twice.
    """
    members = [member for seen in observations.values() for member in seen.members]
    return {member.name: None if member.details.get("unfinished") else member.version for member in members}


def turns(plan: Plan, observations: Observations) -> list[Turn]:
    """All turns of all hops as they would be if nothing moved but what the plan moves."""
    versions = stands(observations)
    leaders = {group: seen.cluster.leader for group, seen in observations.items()}
    found = []
    for hop in plan.hops:
        while left := {group: some for group, names in plan.groups.items() if (some := _behind(plan, hop, names, versions))}:
            turn = pick(plan, leaders, left, canary=not any(versions.get(name) == hop.to for name in plan.members))
            found.append(msgspec.structs.replace(turn, to=hop.to))
            for name in turn.nodes:
                versions[name] = hop.to
                group = next(one for one in left if name in left[one])
                if leaders[group] == name and (others := [other for other in plan.groups[group] if other != name]):
                    leaders[group] = next((other for other in others if versions.get(other) == hop.to), others[0])
    return found


def _behind(plan: Plan, hop: Hop, names: list[str], versions: Mapping[str, str | None]) -> list[str]:
    return [name for name in names if behind(plan, hop, versions.get(name))]


def pick(plan: Plan, leaders: Mapping[str, str | None], left: Mapping[str, list[str]], *, canary: bool) -> Turn:
    """The next turn of the members that are `left` in each group: one of a group, all in one failure domain.

    A canary goes alone; a leader goes after all others of its group.
    """
    waiting = {group: [name for name in names if name != leaders.get(group)] or names for group, names in left.items()}
    if canary:
        followers = {group: names for group, names in waiting.items() if names != [leaders.get(group)]} or waiting
        group = next(iter(followers))
        name = min(followers[group], key=lambda one: (plan.domains.get(one, ""), one))
        return Turn([name], f"{_place(plan, name, leaders)}; the canary")
    domain = min(plan.domains.get(name, "") for names in waiting.values() for name in names)
    nodes = [
        min(there) for names in waiting.values() if (there := [name for name in names if plan.domains.get(name, "") == domain])
    ]
    if len(nodes) == 1:
        return Turn(nodes, _place(plan, nodes[0], leaders))
    leading = sum(name in leaders.values() for name in nodes)
    where = f", all in {domain}" if domain else ""
    return Turn(nodes, f"one of each of {len(nodes)} groups{where}" + (f"; {leading} lead and hand over first" if leading else ""))


def _place(plan: Plan, name: str, leaders: Mapping[str, str | None]) -> str:
    where = f" in {plan.domains[name]}" if plan.domains.get(name) else ""
    if name not in leaders.values():
        return f"a follower{where}"
    return f"the leader{where}: last, after handing over" if hands_over(plan) else f"the leader{where}: last"


def hands_over(plan: Plan) -> bool:
    """Whether a leader is taken only after another member leads: whether there are steps for leaders."""
    return any(step.only == "leader" for step in plan.steps)


def covered(plan: Plan) -> dict[str, Any]:
    """What an operator approves of a plan."""
    fields = msgspec.to_builtins(plan)
    # What is staged for going back is what runs, from wherever it can be had today.
    fields["hops"] = [{key: value for key, value in hop.items() if key != "back"} for hop in fields["hops"]]
    return {key: value for key, value in fields.items() if key not in UNCOVERED}


def digest(plan: Plan) -> str:
    """The first 12 hex digits of a SHA-256 over what is approved: not the order, not the leader."""
    return hashlib.sha256(msgspec.json.encode(covered(plan), order="sorted")).hexdigest()[:12]


def drift(approved: Plan, now: Plan) -> list[str]:
    """What differs between a plan that was approved and the one that the cluster asks for now, a line each."""
    before, after = covered(approved), covered(now)
    return [line for key in before for line in _differences(key, before[key], after.get(key))]


def _differences(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(f"{path}: {key}", before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
            yield from _differences(f"{path} {number}", old, new)
    elif before != after:
        yield f"{path}: was {gates.evidence(before, 60)}, is {gates.evidence(after, 60)}"


def settled(step: Step, hop: Hop, node: str | None, version: str) -> dict[str, Any]:
    """What a step waits for on the node: its declared conditions, with this hop's versions filled in.

    `node_version: to` becomes the version of the node in hand, `cluster_version: to` the target's minor.
    """
    wanted: dict[str, Any] = {**step.settled}
    if node and wanted.pop("node_version", None):
        wanted["versions"] = {node: version}
    if wanted.get("cluster_version") == "to":
        wanted["cluster_version"] = ".".join(hop.to.split(".")[:2])
    return wanted
