"""A version becomes a `Release`: the rules of the path, and where the artifacts and their checksums come from.

The rules are plain data in `roles/<system>/meta/releases.yml`; nothing here knows a system by name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from packaging.version import InvalidVersion, Version

from nodewise import debian
from nodewise.errors import Refused
from nodewise.model import Artifact, Release

SHAPE = "{artifacts: [{url, sha256, kind: tar|deb}], binaries: {program: path}}"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"(https?|file)://")


class Source(msgspec.Struct, forbid_unknown_fields=True):
    """Where one version comes from: its artifacts as they are, or Debian packages of a suite.

    `binaries` maps each program to its path inside the unpacked artifacts.
    """

    binaries: dict[str, str]
    artifacts: list[Artifact] = []
    suite: str = ""
    packages: list[str] = []


class Hops(msgspec.Struct, forbid_unknown_fields=True):
    """How far one upgrade may go: `minor` enters each minor in turn, `any` goes straight to the target."""

    step: Literal["minor", "any"] = "minor"


class Rules(msgspec.Struct, forbid_unknown_fields=True):
    """Which way a system's versions may go. Versions and minors are strings: YAML would read 3.10 as 3.1."""

    releases: dict[str, Source]
    hops: Hops = msgspec.field(default_factory=Hops)
    avoid: dict[str, str] = {}  # version -> why
    floors: dict[str, str] = {}  # minor -> the version that it may be entered from, at least
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
    if target not in rules.releases:
        raise Refused(f"unknown version {target}; known: {', '.join(known(rules))}\nadd it to nodewise_releases as {SHAPE}")
    if end < start:
        raise Refused(f"{current} runs and {target} is older: an upgrade goes forward only")
    _refuse_avoided(rules, target)
    stops = list(rules.enter.values()) if via is None else [_known(rules, stop) for stop in via]
    hops = [target]
    if rules.hops.step == "minor":
        hops = [*_between(rules, start, end, stops), *_entering(start, end, stops), target]
    for before, after in zip([current, *hops], hops, strict=False):
        _refuse_below_floor(rules, before, after)
    return hops


def resolve(rules: Rules, version: str, overrides: dict[str, Any], arch: str) -> Release:
    """The release with URL and checksum of each artifact, for `arch` (amd64, or a kernel's word such as x86_64)."""
    releases = with_overrides(rules, overrides).releases
    source = releases.get(version)
    if source is None:
        raise Refused(f"unknown version {version}; known: {', '.join(sorted(releases, key=Version))}")
    artifacts = source.artifacts or debian.packages(source.suite, source.packages, version, arch)
    return Release(version=version, artifacts=artifacts, binaries=source.binaries)


def _entering(start: Version, end: Version, stops: list[str]) -> list[str]:
    """Where the target's own minor is stopped at first, when it is entered from another one."""
    if _minor(start) == _minor(end):
        return []
    return [stop for stop in stops if _minor(Version(stop)) == _minor(end) and Version(stop) < end]


def _known(rules: Rules, version: str) -> str:
    _version(version, "nodewise_via")
    if version not in rules.releases:
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
    if not source.binaries or not (source.artifacts or (source.suite and source.packages)):
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
