# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The releases that lie side by side on a node, and which of them is in use.

<root>/releases/<version>/   release.json, files/ (the artifacts, unpacked; packages whole), bin/<program> -> ../files/...
<root>/current               -> releases/<version>
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import exe_of

MANIFEST = "release.json"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*")


class ReleaseError(Failure):
    """What is wrong with a release, in one or two lines."""


class Store:
    """The releases under one root; `link` is what the unit's ExecStart goes through."""

    def __init__(self, root: str, link: str | None = None) -> None:
        self.releases = os.path.join(root, "releases")
        self.link = link or os.path.join(root, "current")

    def path(self, version: str) -> str:
        """Return where a version lies, or would; a version that is no plain name is refused."""
        if not _VERSION.fullmatch(version):
            raise ReleaseError(f"{version!r} is not a version; expected one like 3.5.16")
        return os.path.join(self.releases, version)

    def staged(self) -> list[str]:
        """Return the versions that have a manifest, in the order of their names."""
        try:
            names = sorted(os.listdir(self.releases))
        except FileNotFoundError:
            return []
        return [name for name in names if _VERSION.fullmatch(name) and os.path.exists(os.path.join(self.releases, name, MANIFEST))]

    def manifest(self, version: str) -> dict[str, Any] | None:
        """Return what was written when the version was staged, or None when it is not, or not readably so."""
        try:
            with open(os.path.join(self.path(version), MANIFEST), encoding="utf-8") as stream:
                manifest = json.load(stream)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return manifest if isinstance(manifest, dict) else None

    def damage(self, version: str, hashed: bool = False) -> str:
        """Return what keeps a version from being used, in a few words, or nothing.

        Files of the size and time that staging noted are those that it verified; all others, or with `hashed` all, are hashed.
        """
        manifest = self.manifest(version)
        if manifest is None:
            return "is not staged" if not os.path.isdir(self.path(version)) else f"has no readable {MANIFEST}"
        programs = {os.path.join("bin", name): noted for name, noted in manifest.get("binaries", {}).items()}
        for name, expected in {**programs, **manifest.get("kept", {})}.items():
            file = os.path.join(self.path(version), name)
            if not hashed and untouched(file, expected):
                continue
            found = digest(file)
            if found != expected["sha256"]:
                return f"is damaged: {name} has sha256 {(found or 'unreadable')[:16]}, and {expected['sha256'][:16]} was staged"
        return ""

    def linked(self) -> str | None:
        """Return the version that the link leads to; None without a link, or when it leads elsewhere."""
        target = os.path.realpath(self.link)
        inside = os.path.dirname(target) == os.path.realpath(self.releases)
        return os.path.basename(target) if inside and os.path.islink(self.link) else None

    def holds(self, version: str, file: str) -> bool:
        """Return whether a file lies inside a version."""
        return os.path.realpath(file).startswith(os.path.realpath(self.path(version)) + "/")

    def used_by(self, version: str) -> str:
        """Return who uses a version (the link, or a process that runs from it), or nothing."""
        if self.linked() == version:
            return self.link
        for pid in filter(str.isdigit, os.listdir("/proc")):
            exe = exe_of(int(pid))
            if exe and self.holds(version, exe):
                return f"process {pid}"
        return ""


def digest(file: str) -> str | None:
    """Return the sha256 of a file, or None when it cannot be read."""
    sha = hashlib.sha256()
    try:
        with open(file, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                sha.update(block)
    except OSError:
        return None
    return sha.hexdigest()


def note(file: str) -> dict[str, Any]:
    """Return checksum, size and time of a file, for `untouched` and for those who hash it again."""
    found = os.stat(file)
    return {"sha256": digest(file) or "", "size": found.st_size, "mtime_ns": found.st_mtime_ns}


def untouched(file: str, noted: dict[str, Any]) -> bool:
    """Return whether a file still has the size and the time of its last change that were noted; False when none were."""
    try:
        found = os.stat(file)
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (noted.get("size"), noted.get("mtime_ns"))
