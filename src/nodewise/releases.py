"""A version becomes a `Release`: the rules of the path, and where the artifacts and their checksums come from.

The rules are plain data in `roles/<system>/meta/releases.yml`; nothing here knows a system by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from packaging.version import InvalidVersion, Version

from nodewise import debian, offered, pypi
from nodewise.errors import Refused
from nodewise.model import Artifact, Release
from nodewise.offered import Nodes

SHAPE = "{artifacts: [{url, sha256, kind: tar|deb|wheel|package}], binaries: {program: path}}"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"(https?|file)://")


class Source(msgspec.Struct, forbid_unknown_fields=True):
    """Where one version comes from: its artifacts as they are, or Debian packages of a suite.

    `binaries` maps each program to its path inside the unpacked artifacts.
    """

    binaries: dict[str, str] = {}
    artifacts: list[Artifact] = []
    suite: str = ""
    packages: list[str] = []


class Unlisted(msgspec.Struct, forbid_unknown_fields=True):
    """Where a version comes from that is not listed: packages that the nodes' own manager offers, or wheels of Python's index."""

    packages: list[str] = []  # names; {major} is filled in
    manager: Literal["host"] = "host"
    wheels: str = ""  # a requirement; {version} is filled in
    also: list[str] = []  # further requirements
    build: list[str] = []  # exact requirements that the index has as sources only, of Python alone
    binaries: dict[str, str] = {}

    def names(self, version: str) -> list[str]:
        """The packages of a version."""
        return [name.format(major=version.split(".", maxsplit=1)[0]) for name in self.packages]


class Hops(msgspec.Struct, forbid_unknown_fields=True):
    """How far one upgrade may go: `minor` enters each minor in turn, `any` goes straight to the target; `within` what."""

    step: Literal["minor", "any"] = "minor"
    within: Literal["major"] | None = None


class Rules(msgspec.Struct, forbid_unknown_fields=True):
    """Which way a system's versions may go. Versions and minors are strings: YAML would read 3.10 as 3.1."""

    releases: dict[str, Source] = {}
    hops: Hops = msgspec.field(default_factory=Hops)
    avoid: dict[str, str] = {}  # version -> why
    floors: dict[str, str] = {}  # minor -> the version that it may be entered from, at least
    default: str = ""  # what is provisioned when nobody says: a version, or the beginning of one
    any: Unlisted | None = None
    enter: dict[str, str] = {}  # minor -> the version to enter it at, with its later patches as a hop of their own


def load_rules(role_path: str | Path, overrides: dict[str, Any] | None = None, component: str = "") -> Rules:
    """The rules of the role in `role_path`, or of one of its components; the user's `nodewise_releases` come before the role's."""
    file = Path(role_path) / "meta" / component / "releases.yml"
    try:
        rules = msgspec.convert(yaml.safe_load(file.read_text()), Rules)
    except FileNotFoundError:
        raise Refused(f"{file} is missing: a system's role says there which releases it knows") from None
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise Refused(f"{file} does not follow the rules of a release: {_line(error)}") from None
    for text in [*rules.releases, *rules.avoid, *rules.floors, *rules.floors.values(), *rules.enter, *rules.enter.values()]:
        _version(text, str(file))
    return with_overrides(rules, overrides or {})


def with_overrides(rules: Rules, overrides: dict[str, Any]) -> Rules:
    """The rules with the user's releases in them; an artifact without a checksum is refused."""
    own = {version: _own_source(version, value) for version, value in overrides.items()}
    return msgspec.structs.replace(rules, releases={**rules.releases, **own})


def known(rules: Rules) -> list[str]:
    """The versions that can be resolved, lowest first."""
    return sorted(rules.releases, key=Version)


def path(rules: Rules, current: str, target: str, via: list[str] | None = None) -> list[str]:
    """The versions to go through from `current` (which need not be known) to `target`, the last of them; [] when equal.

    `via` are versions to stop at, instead of those at which the rules enter a minor.
    """
    start, end = _version(current, "the running version"), _version(target, "nodewise_to")
    if start == end:
        return []
    _refuse_unknown(rules, target)
    if end < start:
        raise Refused(f"{current} runs and {target} is older: an upgrade goes forward only")
    if rules.hops.within == "major" and start.major != end.major:
        raise Refused(f"{current} to {target} crosses a major version, which cannot be rolled; expected a target of {start.major}")
    _refuse_avoided(rules, target)
    stops = list(rules.enter.values()) if via is None else [_known(rules, stop) for stop in via]
    hops = [target]
    if rules.hops.step == "minor":
        hops = [*_between(rules, start, end, stops), *_entering(start, end, stops), target]
    for before, after in zip([current, *hops], hops, strict=False):
        _refuse_below_floor(rules, before, after)
    return hops


def exactly(rules: Rules, text: str, nodes: Nodes, there: Iterable[str] = ()) -> str:
    """The version that is meant by one, or by the beginning of one: of 15 the one that is there, else the newest to be had."""
    mine = [version for version in there if offered.begins(version, text)]
    if mine:
        return mine[0]
    if rules.any is None or text in rules.releases:
        return text
    _version(text, "the version asked for")
    if rules.any.packages:
        return offered.newest(rules.any.names(text), text, nodes) or text
    return pypi.newest(rules.any.wheels, text, nodes)


def resolve(rules: Rules, version: str, overrides: dict[str, Any], arch: str, nodes: Nodes | None = None) -> Release:
    """The release with URL and checksum of each artifact, for `arch` (amd64, or a kernel's word such as x86_64).

    `nodes` are what `node_info` said of each: what they are offered, and the Python that they have.
    """
    rules = with_overrides(rules, overrides)
    source = rules.releases.get(version)
    if source is None:
        return _unlisted(rules, version, nodes or {})
    artifacts = source.artifacts or debian.packages(source.suite, source.packages, version, arch)
    return Release(version=version, artifacts=artifacts, binaries=source.binaries)


def back(rules: Rules, version: str, nodes: Nodes) -> Release | None:
    """What has to be staged so that the running version can be put back: its packages, which installing others takes away."""
    source = rules.releases.get(version)
    if source:
        whole = any(artifact.kind == "package" for artifact in source.artifacts)
        return Release(version=version, artifacts=source.artifacts, binaries=source.binaries) if whole else None
    return _unlisted(rules, version, nodes) if rules.any and rules.any.packages else None


def _unlisted(rules: Rules, version: str, nodes: Nodes) -> Release:
    _refuse_unknown(rules, version)
    assert rules.any  # noqa: S101 - or it were unknown
    if rules.any.packages:
        artifacts = offered.packages(rules.any.names(version), version, nodes)
    else:
        wanted = [rules.any.wheels.format(version=version), *rules.any.also]
        artifacts = pypi.wheels(wanted, rules.any.build, nodes)
    return Release(version=version, artifacts=artifacts, binaries=rules.any.binaries)


def _refuse_unknown(rules: Rules, version: str) -> None:
    if version not in rules.releases and rules.any is None:
        raise Refused(f"unknown version {version}; known: {', '.join(known(rules))}\nadd it to nodewise_releases as {SHAPE}")


def _entering(start: Version, end: Version, stops: list[str]) -> list[str]:
    """Where the target's own minor is stopped at first, when it is entered from another one."""
    if _minor(start) == _minor(end):
        return []
    return [stop for stop in stops if _minor(Version(stop)) == _minor(end) and Version(stop) < end]


def _known(rules: Rules, version: str) -> str:
    _version(version, "nodewise_via")
    if version not in rules.releases and rules.any is None:
        raise Refused(f"nodewise_via names {version}, which is unknown; known: {', '.join(known(rules))}")
    return version


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
    good = [text for text in known(rules) if _minor(Version(text)) == minor and text not in rules.avoid]
    if not good:
        raise Refused(f"no release of {minor} is known, which is needed {why}\nadd one to nodewise_releases as {SHAPE}")
    return good[-1]


def _refuse_avoided(rules: Rules, target: str) -> None:
    if target in rules.avoid:
        others = ", ".join(text for text in known(rules) if text not in rules.avoid)
        raise Refused(f"{target} is to be avoided: {rules.avoid[target]}\nchoose another: {others}")


def _refuse_below_floor(rules: Rules, before: str, after: str) -> None:
    entered = _minor(Version(after))
    floor = rules.floors.get(entered)
    if floor and _minor(Version(before)) != entered and Version(before) < Version(floor):
        raise Refused(f"{entered} may be entered only from {floor} or later, not from {before}: upgrade to {floor} or later first")


def _own_source(version: str, value: object) -> Source:
    where = f"nodewise_releases: {version}"
    if not isinstance(version, str):
        raise Refused(f"{where} is a number to YAML: write it in quotes")
    _version(version, "nodewise_releases")
    try:
        source = msgspec.convert(value, Source)
    except msgspec.ValidationError as error:
        raise Refused(f"{where}: {_line(error)}\nexpected {SHAPE}") from None
    installed = any(artifact.kind == "package" for artifact in source.artifacts)
    if not (source.binaries or installed) or not (source.artifacts or (source.suite and source.packages)):
        raise Refused(f"{where} has no artifacts or no binaries; expected {SHAPE}")
    for artifact in source.artifacts:
        if not _SHA256.fullmatch(artifact.sha256):
            raise Refused(f"{where}: sha256 of {artifact.url} is {artifact.sha256!r}, expected 64 lower-case hexadecimal digits")
        if not _URL.match(artifact.url):
            raise Refused(f"{where}: {artifact.url!r} is not a URL of http, https or file")
    return source


def _version(text: str, where: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise Refused(f"{where}: {text!r} is not a version; expected one like 3.5.16") from None


def _minor(version: Version) -> str:
    return f"{version.major}.{version.minor}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
