# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which versions of a system there are and which way they may go, as plain data in `roles/<system>/meta/releases.yml`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml
from packaging.version import InvalidVersion, Version

from nodewise.errors import Refused
from nodewise.fields import Named
from nodewise.model import Artifact

SHAPE = "{artifacts: [{url, sha256, kind: tar|deb|wheel|package|image}], binaries: {program: path}}"
_SHA256 = re.compile(r"[0-9a-f]{64}")
ON_CONTROLLER = "controller://"  # and an absolute path: a file that is shipped to the nodes
_IMAGE = re.compile(r"docker://[\w.:-]+(/[\w.-]+)+@sha256:[0-9a-f]{64}")
_URL = re.compile(rf"(https?|file)://|{ON_CONTROLLER}/")


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

    releases: dict[str, Source] = {}  # version -> where it comes from
    # how far one upgrade may go: step is minor (each in turn) or any (straight to the target), within may be major
    hops: Annotated[Hops, Named("mapping")] = msgspec.field(default_factory=Hops)
    avoid: dict[str, str] = {}  # version -> why
    floors: dict[str, str] = {}  # minor -> the version that it may be entered from, at least
    default: str = ""  # what is provisioned when nobody says: a version, or the beginning of one
    # where a version comes from that is not listed: wheels of Python's index, or packages that the nodes are offered
    any: Annotated[Unlisted | None, Named("mapping")] = None
    enter: dict[str, str] = {}  # minor -> the version to enter it at, with its later patches as a hop of their own


AnyRules = TypeVar("AnyRules", bound=Rules)


class OfRole(Rules, forbid_unknown_fields=True):
    """The rules of a role, or those of each service that it serves: then a variable has them, beside all else that it says."""

    described_by: str = ""  # the variable; what it says of the fields above comes before what the role says


def load_rules(
    role_path: str | Path,
    overrides: dict[str, Any] | None = None,
    component: str = "",
    described: Callable[[str], Any] | None = None,
) -> OfRole:
    """The rules of the role in `role_path`, or of one of its components; the user's `nodewise_releases` come before the role's.

    `described` gives the value of the variable that has rules of its own, where the role names one.
    """
    file = Path(role_path) / "meta" / component / "releases.yml"
    try:
        rules = msgspec.convert(yaml.safe_load(file.read_text()), OfRole)
    except FileNotFoundError:
        raise Refused(f"{file} is missing: a system's role says there which releases it knows") from None
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise Refused(f"{file} does not follow the rules of a release: {_line(error)}") from None
    for text in [*rules.releases, *rules.avoid, *rules.floors, *rules.floors.values(), *rules.enter, *rules.enter.values()]:
        version_of(text, str(file))
    if rules.described_by and described:
        rules = _with_described(rules, described(rules.described_by) or {})
    return with_overrides(rules, overrides or {})


def _with_described(rules: OfRole, description: dict[str, Any]) -> OfRole:
    said = {name: description[name] for name in Rules.__struct_fields__ if name in description}
    try:
        own = msgspec.convert(said, Rules)
    except msgspec.ValidationError as error:
        raise Refused(f"{rules.described_by}: {_line(error)}") from None
    return msgspec.structs.replace(rules, **{name: getattr(own, name) for name in said})


def with_overrides(rules: AnyRules, overrides: dict[str, Any]) -> AnyRules:
    """The rules with the user's releases in them; an artifact without a checksum is refused."""
    own = {version: _own_source(version, value) for version, value in overrides.items()}
    return msgspec.structs.replace(rules, releases={**rules.releases, **own})


def known_versions(rules: Rules) -> list[str]:
    """The versions that can be resolved, lowest first."""
    return sorted(rules.releases, key=Version)


def refuse_unknown(rules: Rules, version: str) -> None:
    """Raise Refused for a version that the rules neither list nor can find by themselves."""
    if version not in rules.releases and rules.any is None:
        raise Refused(
            f"unknown version {version}; known: {', '.join(known_versions(rules))}\nadd it to nodewise_releases as {SHAPE}"
        )


def _own_source(version: str, value: object) -> Source:
    where = f"nodewise_releases: {version}"
    if not isinstance(version, str):
        raise Refused(f"{where} is a number to YAML: write it in quotes")
    version_of(version, "nodewise_releases")
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
        if (artifact.kind == "image") != bool(_IMAGE.fullmatch(artifact.url)) or (
            artifact.kind == "image" and not artifact.url.endswith(artifact.sha256)
        ):
            raise Refused(
                f"{where}: {artifact.url!r} of kind {artifact.kind}; expected docker://HOST/NAME@sha256:DIGEST for an image, whose "
                "sha256 is the digest, and for nothing else"
            )
        if artifact.kind != "image" and not _URL.match(artifact.url):
            raise Refused(f"{where}: {artifact.url!r} is not a URL of http, https, file or controller")
    return source


def version_of(text: str, where: str) -> Version:
    """A text as a version; raises Refused, which says `where` it stands."""
    try:
        return Version(text)
    except InvalidVersion:
        raise Refused(f"{where}: {text!r} is not a version; expected one like 3.5.16") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
