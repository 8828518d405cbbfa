# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Having the files of a release's packages. What is asked of the node's manager is in Manager."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.release.fetch import fetch
from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import Manager, PackageError, Wanted
from ansible_collections.nodewise.cluster.plugins.module_utils.release.managers import of_host
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import digest


class Unavailable(PackageError):
    """A package that cannot be had on this node, from nowhere."""


def fetch_all(artifacts: list[dict[str, Any]], folder: str, until: float) -> dict[str, dict[str, Any]]:
    """Have the files of packages in `folder`, and of all that the node lacks to install them, in the order of installing.

    Returns for each name version, file, sha256, bytes installed, and whether it is only `needed` by the others.
    """
    manager = of_host()
    _download(manager, artifacts, folder, until)
    named = _described(manager, folder)
    _check(artifacts, named)
    further = manager.needed([os.path.join(folder, entry["file"]) for entry in named.values()])
    if further:
        manager.download(further, folder, _left(until))
    found = _described(manager, folder)
    order = [Wanted(text).name for text in further] + list(named)
    return {name: {**found[name], "needed": name not in named} for name in order}


def _download(manager: Manager, artifacts: list[dict[str, Any]], folder: str, until: float) -> None:
    """Have each from where it can be had: the manager, which knows the node's proxies; its URL; the manager's own cache."""
    asked = [artifact["package"] for artifact in artifacts if artifact.get("package")]
    offered = _offered(manager, asked)
    direct = [one["package"] for one in artifacts if _same(offered.get(one.get("package") or ""), one)]
    if direct:
        manager.download(direct, folder, _left(until))
    for artifact in artifacts:
        if artifact.get("package") not in direct:
            _elsewhere(manager, artifact, folder, until)


def _offered(manager: Manager, asked: list[str]) -> dict[str, str]:
    """The checksum of each `name=version` that is offered; none when the index cannot be had, which leaves other ways."""
    try:
        found = manager.offered(asked) if asked else {}
    except PackageError:
        return {}
    return {f"{name}={one['version']}": one["sha256"] for name, versions in found.items() for one in versions}


def _same(offered: str | None, artifact: dict[str, Any]) -> bool:
    return offered is not None and artifact.get("sha256") in ("", None, offered)


def _elsewhere(manager: Manager, artifact: dict[str, Any], folder: str, until: float) -> None:
    if artifact["url"]:
        fetch(artifact["url"], os.path.join(folder, os.path.basename(artifact["url"])), artifact["sha256"], until)
        return
    one = Wanted(artifact["package"])
    file = manager.cached(one.name, one.version)
    if not file:
        raise Unavailable(
            f"{one.name} {one.version} is neither offered to this node nor in {manager.cache}; nothing was staged: "
            f"put its file there, or give nodewise_releases its URL and sha256"
        )
    shutil.copy(file, folder)


def _described(manager: Manager, folder: str) -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted(name for name in os.listdir(folder) if name.endswith(manager.suffix)):
        name, version, size = manager.about(os.path.join(folder, file))
        found[name] = {"version": version, "file": file, "bytes": size, "sha256": digest(os.path.join(folder, file))}
    return found


def _check(artifacts: list[dict[str, Any]], found: dict[str, dict[str, Any]]) -> None:
    """What was fetched is what was asked for: each by its checksum, where one was given, and by name and version."""
    sums = {entry["sha256"] for entry in found.values()}
    there = {f"{name}={entry['version']}" for name, entry in found.items()}
    for artifact in artifacts:
        what = artifact.get("package") or artifact["url"]
        if artifact.get("sha256") and artifact["sha256"] not in sums:
            raise PackageError(f"{what}: nothing with sha256 {artifact['sha256'][:16]}… came; nothing was staged")
        if artifact.get("package") and what not in there:
            raise PackageError(f"{what} was asked for, and {', '.join(sorted(there))} came; nothing was staged")


def _left(until: float) -> float:
    return max(1.0, until - time.monotonic())
