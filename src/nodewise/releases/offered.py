# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases of packages that the nodes' own package managers offer, from what `node_info` says of each node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from nodewise.errors import Refused
from nodewise.model import Artifact
from nodewise.releases.debian import upstream

Nodes = Mapping[str, Any]  # what `node_info` said, by name
Offer = dict[str, Any]  # version, upstream, url, sha256, size
INSTEAD = "give nodewise_releases its packages by URL with their sha256, or have an archive on every node that has it"


def newest(names: list[str], prefix: str, nodes: Nodes) -> str | None:
    """The highest version that begins with `prefix` and that every node is offered, or has staged; None without one."""
    found = [{offer["upstream"] for offer in _offers(node, nodes, names[0])} | set(nodes[node]["staged"] or []) for node in nodes]
    common = set.intersection(*found) if found else set()
    return max((text for text in common if begins(text, prefix)), key=Version, default=None)


def begins(version: str, prefix: str) -> bool:
    """Whether a version is the one that `prefix` names, or one of its line: 15.20 is of 15, and of 15.20."""
    try:
        Version(version)
    except InvalidVersion:
        return False
    return f"{version}.".startswith(f"{prefix}.")


def packages(names: list[str], version: str, nodes: Nodes) -> list[Artifact]:
    """One artifact for each package at that upstream version, of one build on all nodes.

    What is no longer offered is taken from where it is: without checksums when a node has it installed, and without artifacts when
    all have it staged. Raises Refused, naming each node that lacks it.
    """
    lacking = [line for node in sorted(nodes) for line in _lacks(node, nodes, names, version)]
    if lacking:
        raise Refused("\n".join([*lacking[:4], INSTEAD]))
    found = [_common(name, version, nodes) or _installed(name, version, nodes) for name in names]
    return [artifact for artifact in found if artifact]


def _offers(node: str, nodes: Nodes, name: str) -> list[Offer]:
    said = nodes[node].get("packages")
    if said is None:
        errors = [line for line in nodes[node].get("errors") or [] if line.startswith("packages")]
        raise Refused(f"{node} does not say which packages it is offered: {'; '.join(errors) or 'it was not asked for any'}")
    return list(said["offered"].get(name) or [])


def _lacks(node: str, nodes: Nodes, names: list[str], version: str) -> Iterable[str]:
    """Why a node cannot have the version: it is neither offered nor there."""
    if version in (nodes[node]["staged"] or []):
        return
    for name in names:
        offers = _offers(node, nodes, name)
        installed = nodes[node]["packages"]["installed"].get(name)
        if not _at(offers, version) and (installed is None or upstream(installed) != version):
            has = ", ".join(offer["upstream"] for offer in offers[:5]) or "none at all"
            yield f"{node} is offered no {name} {version} by {nodes[node]['packages']['manager']}, but {has}"


def _common(name: str, version: str, nodes: Nodes) -> Artifact | None:
    """The highest build that all nodes are offered which are offered any; it must be the same file for all."""
    offers = {node: _at(_offers(node, nodes, name), version) for node in sorted(nodes)}
    asked = {node: some for node, some in offers.items() if some}
    if not asked:
        return None
    sums = set.intersection(*({offer["sha256"] for offer in some} for some in asked.values()))
    best = next((offer for offer in next(iter(asked.values())) if offer["sha256"] in sums), None)
    if best is None:
        told = "; ".join(f"{node} {some[0]['version']} ({some[0]['sha256'][:12]}…)" for node, some in asked.items())
        raise Refused(f"the nodes are offered different builds of {name} {version}: {told}\n{INSTEAD}")
    package = f"{name}={best['version']}"
    return Artifact(url=best["url"], sha256=best["sha256"], kind="package", size=best["size"], package=package)


def _installed(name: str, version: str, nodes: Nodes) -> Artifact | None:
    found = [nodes[node]["packages"]["installed"].get(name) or "" for node in sorted(nodes)]
    exact = next((one for one in found if one and upstream(one) == version), None)
    return Artifact(url="", sha256="", kind="package", package=f"{name}={exact}") if exact else None


def _at(offers: list[Offer], version: str) -> list[Offer]:
    return [offer for offer in offers if offer["upstream"] == version]
