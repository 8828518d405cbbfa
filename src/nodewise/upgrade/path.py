# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way from the versions that run to another one, and back: hops, each legal by the system's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from packaging.version import Version

from nodewise.errors import Refused
from nodewise.model import Declaration, Hop, NoReturn, Observation, Observations, Release
from nodewise.record.commands import command
from nodewise.releases.rules import SHAPE, Rules, known_versions, refuse_unknown, version_of


def versions_ahead(rules: Rules, running: Iterable[str], to: str, upgrade_path: list[str] | None = None) -> list[str]:
    """The way from the lowest running version to the target; [] when every member is there.

    `upgrade_path` are versions to stop at on the way, instead of those that the system's rules name. Raises Refused for a target
    that is unknown or older.
    """
    found = sorted({version for version in running if version and version != to}, key=Version)
    return versions_between(rules, found[0] if found else to, to, upgrade_path)


class Resolver(NamedTuple):
    """How a version becomes a release, and what has to be kept so that a running one can be put back (None: nothing)."""

    release: Callable[[str], Release]
    back: Callable[[str], Release | None] = lambda _version: None

    def hop(self, start: str, to: str, no_return: NoReturn | None = None) -> Hop:
        """One hop with all that it needs on the nodes."""
        return Hop(start, to, self.release(to), no_return, self.back(start) if start != to else None)


def hops_through(rules: Rules, declared: Declaration, start: str, versions: list[str], resolver: Resolver) -> list[Hop]:
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
        raise Refused("the nodes remember no upgrade, so there is nothing to go back to. Nothing was changed")
    high, low = running[-1], running[0]
    if low == high:
        below = [rung for rung in rungs if Version(rung) < Version(low)]
        if not below:
            raise Refused(f"every member runs {low}, which is where the last upgrade began: there is nothing to go back to")
        low = below[-1]
    no_return = _no_return(rules, declared, low, high)
    against = no_return and no_return.before in ("last_member", "finalize")  # whether a step of the cluster is done its gates say
    unknown = [name for name, seen in observations.items() if seen.cluster.version is None]
    if against and unknown:
        raise Refused(
            f"the members of {', '.join(unknown)} do not agree on the cluster version, or do not tell it, so it is unknown whether "
            f"{high} can be taken back to {low}.\n"
            f"Look at the members' errors ({command('status', '')}), then run it again"
        )
    moved = [f"{name} acts as {seen.cluster.version}" for name, seen in observations.items() if not _acts_as(seen, low)]
    if against and moved:
        raise Refused(
            f"{high} cannot be taken back to {low}: {'; '.join(moved)}, and the old binary no longer starts with that.\n"
            f"The way back is to restore the backup, which loses what was written since: {command('restore', '')}"
        )
    return high, low


def _acts_as(seen: Observation, version: str) -> bool:
    return f"{version}.".startswith(f"{seen.cluster.version}.")


def _no_return(rules: Rules, declared: Declaration, start: str, to: str) -> NoReturn | None:
    """A system that enters minors one by one cannot leave one; within a minor it can go back at any time."""
    same = Version(start).release[:2] == Version(to).release[:2]
    return None if rules.hops.step == "minor" and same else declared.point_of_no_return


def recovered_to(name: str, groups: Mapping[str, list[str]], observations: Observations, way: list[Hop]) -> str:
    """The version to bring a member back on: the lowest that the others of its group run, with which they all let it in."""
    group = next(group for group, names in groups.items() if name in names)
    others = [member for member in observations[group].members if member.name != name and member.serving]
    return min((member.version for member in others if member.version), key=Version, default=way[-1].to)


def versions_between(rules: Rules, current: str, target: str, upgrade_path: list[str] | None = None) -> list[str]:
    """The versions to go through from `current` (which need not be known) to `target`, the last of them; [] when equal.

    `upgrade_path` are versions to stop at, instead of those at which the rules enter a minor; those that are behind are no stops.
    """
    start, end = version_of(current, "the running version"), version_of(target, "nodewise_to")
    if start == end:
        return []
    refuse_unknown(rules, target)
    if end < start:
        raise Refused(f"{current} is running and {target} is older: an upgrade only goes forward")
    if rules.hops.within == "major" and start.major != end.major:
        raise Refused(f"{current} to {target} crosses a major version, which cannot be rolled; expected a target of {start.major}")
    _refuse_avoided(rules, target)
    if upgrade_path is None:
        stops = list(rules.enter.values())
        on_the_way = _entering(start, end, stops)
    else:
        stops = on_the_way = [stop for stop in upgrade_path if _stop(rules, stop, end) > start]
    if rules.hops.step == "minor":
        on_the_way = [*_between(rules, start, end, stops), *on_the_way]
    hops = [*sorted(set(on_the_way), key=Version), target]
    for before, after in zip([current, *hops], hops, strict=False):
        _refuse_below_floor(rules, before, after)
    return hops


def _entering(start: Version, end: Version, stops: list[str]) -> list[str]:
    """Where the target's own minor is stopped at first, when it is entered from another one."""
    if _minor(start) == _minor(end):
        return []
    return [stop for stop in stops if _minor(Version(stop)) == _minor(end) and Version(stop) < end]


def _stop(rules: Rules, version: str, end: Version) -> Version:
    """A version that an operator wants to stop at, which has to be one that can be stopped at."""
    found = version_of(version, "nodewise_upgrade_path")
    if version not in rules.releases and rules.any is None:
        raise Refused(f"nodewise_upgrade_path names {version}, which is unknown; known: {', '.join(known_versions(rules))}")
    if found >= end:
        raise Refused(f"nodewise_upgrade_path names {version}, which is not on the way to {end}; expected earlier versions")
    _refuse_avoided(rules, version)
    return found


def _between(rules: Rules, start: Version, end: Version, stops: list[str]) -> list[str]:
    """One version of each minor strictly between two versions: a stop, else the highest known one that is not to be avoided."""
    if start.major != end.major:
        raise Refused(f"{start} to {end} crosses a major version, and the rules of the path do not say how")
    named, found = {_minor(Version(stop)): stop for stop in stops}, []
    for number in range(start.minor + 1, end.minor):
        minor, floor = f"{end.major}.{number}", rules.floors.get(f"{end.major}.{number + 1}")
        stop = named.get(minor)
        found += [stop] if stop else []
        if not stop or (floor and Version(stop) < Version(floor)):
            found.append(_best(rules, minor, f"on the way to {end}"))
    return found


def _best(rules: Rules, minor: str, why: str) -> str:
    good = [text for text in known_versions(rules) if _minor(Version(text)) == minor and text not in rules.avoid]
    if not good:
        raise Refused(f"no release of {minor} is known, but one is needed {why}\nadd one to nodewise_releases as {SHAPE}")
    return good[-1]


def _refuse_avoided(rules: Rules, target: str) -> None:
    if target in rules.avoid:
        others = ", ".join(text for text in known_versions(rules) if text not in rules.avoid)
        raise Refused(f"{target} is to be avoided: {rules.avoid[target]}\nchoose another: {others}")


def _refuse_below_floor(rules: Rules, before: str, after: str) -> None:
    entered = _minor(Version(after))
    floor = rules.floors.get(entered)
    if floor and _minor(Version(before)) != entered and Version(before) < Version(floor):
        raise Refused(f"{entered} may be entered only from {floor} or later, not from {before}: upgrade to {floor} or later first")


def _minor(version: Version) -> str:
    return f"{version.major}.{version.minor}"
