# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A version becomes a `Release`: which one is meant, and where its artifacts and their checksums come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nodewise.model import Release
from nodewise.releases import debian, offered, pypi
from nodewise.releases.offered import Nodes
from nodewise.releases.rules import Rules, refuse_unknown, version_of, with_overrides


def exactly(rules: Rules, text: str, nodes: Nodes, there: Iterable[str] = ()) -> str:
    """The version that is meant by one, or by the beginning of one: of 15 the one that is there, else the newest to be had."""
    mine = [version for version in there if offered.begins(version, text)]
    if mine:
        return mine[0]
    if rules.any is None or text in rules.releases:
        return text
    version_of(text, "the version asked for")
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
    refuse_unknown(rules, version)
    assert rules.any  # noqa: S101 - or it were unknown
    if rules.any.packages:
        artifacts = offered.packages(rules.any.names(version), version, nodes)
    else:
        wanted = [rules.any.wheels.format(version=version), *rules.any.also]
        artifacts = pypi.wheels(wanted, rules.any.build, nodes)
    return Release(version=version, artifacts=artifacts, binaries=rules.any.binaries)
