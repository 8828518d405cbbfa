# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packages of a release: having their files, and having them installed. What is asked of the node's manager is in Manager."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager
from typing import Any, Iterator

from ansible_collections.nodewise.cluster.plugins.module_utils.release.apt import Apt
from ansible_collections.nodewise.cluster.plugins.module_utils.release.dnf import Dnf
from ansible_collections.nodewise.cluster.plugins.module_utils.release.fetch import fetch
from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import Manager, PackageError, Wanted
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import Store, digest

SYSTEM = "/usr"  # where packages put most of what is in them


class Unavailable(PackageError):
    """A package that cannot be had on this node, from nowhere."""


def of_host() -> Manager:
    """Return the node's package manager; PackageError when it has none that is known."""
    if shutil.which("apt-get") and shutil.which("dpkg"):
        return Apt()
    if shutil.which("dnf") and shutil.which("rpm"):
        return Dnf()
    raise PackageError("the node has neither apt nor dnf, so packages cannot be installed on it")


def read(names: list[str]) -> dict[str, Any]:
    """Return manager, offered, installed and held, for these names (each `name` or `name=upstream`), and who holds its locks."""
    manager, plain = of_host(), [Wanted(text).name for text in names]
    offered = manager.offered(names)
    found = {"offered": offered, "installed": manager.installed(plain), "held": manager.held(plain)}
    return {"manager": manager.name, **found, "locks": manager.held_by_others()}


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


class Payload:
    """The packages of a staged release, which may have none."""

    def __init__(self, store: Store, version: str) -> None:
        self.folder = os.path.join(store.path(version), "files")
        self.packages: dict[str, dict[str, Any]] = (store.manifest(version) or {}).get("packages") or {}
        self.named = [name for name, entry in self.packages.items() if not entry["needed"]]
        self.manager = of_host() if self.packages else None

    def missing(self) -> list[str]:
        """Return what has to be installed: a named one of another version, a needed one that is not there at all."""
        if not self.manager:
            return []
        has = self.manager.installed(list(self.packages))
        wanted = self.packages.items()
        return [name for name, entry in wanted if name not in has or not (entry["needed"] or has[name] == entry["version"])]

    def settled(self) -> bool:
        """Return whether all is installed, and held."""
        return not self.missing() and not (self.manager and set(self.named) - set(self.manager.held(self.named)))

    def vet(self) -> None:
        """Refuse what cannot be installed, as long as there is time: what was staged before may not fit what is there now."""
        if self.manager and not self.manager.broken() and (lacking := self.missing()):
            self._refuse_unfit(self.manager, lacking)

    @contextmanager
    def ready(self, timeout: float) -> Iterator[None]:
        """Keep others from installing, and refuse what cannot be installed while everything still runs."""
        if not self.manager:
            yield
            return
        with self.manager.locked(timeout):
            broken = self.manager.broken()
            if others := sorted(set(broken) - set(self.packages)):
                raise PackageError(
                    f"{', '.join(others[:5])} half installed, which is not ours: fix that first (dpkg --configure -a)"
                )
            lacking = self.missing()
            if lacking and not broken:  # else this goes on with what was found fit, and was interrupted
                self._refuse_unfit(self.manager, lacking)
            yield

    def install(self) -> None:
        """Install what is missing and hold the named ones."""
        if not self.manager:
            return
        lacking = self.missing()
        if lacking:
            self.manager.install(self._files(lacking))
        if left := self.missing():
            raise PackageError(f"{', '.join(left)}: {self.manager.name} does not have it installed as it was staged")
        self.manager.hold(self.named)

    def _refuse_unfit(self, manager: Manager, lacking: list[str]) -> None:
        manager.fits(self._files(lacking))
        needs, free = sum(self.packages[name]["bytes"] for name in lacking), shutil.disk_usage(SYSTEM).free
        if free < needs:
            raise PackageError(
                f"{SYSTEM} has {free >> 20} MiB free, expected {needs >> 20} MiB for {', '.join(lacking)}: make room"
            )

    def _files(self, names: list[str]) -> list[str]:
        return [os.path.join(self.folder, self.packages[name]["file"]) for name in names]


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
