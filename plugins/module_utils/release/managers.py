# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package manager of a node, and what it says of packages."""

from __future__ import annotations

import shutil
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import Manager, PackageError, Wanted


def of_host() -> Manager:
    """Return the node's package manager; PackageError when it has none that is known."""
    # Each is read where it is needed: a module compiles all that it imports, on the node, each time.
    if shutil.which("apt-get") and shutil.which("dpkg"):
        from ansible_collections.nodewise.cluster.plugins.module_utils.release.apt import Apt  # noqa: PLC0415

        return Apt()
    if shutil.which("dnf") and shutil.which("rpm"):
        from ansible_collections.nodewise.cluster.plugins.module_utils.release.dnf import Dnf  # noqa: PLC0415

        return Dnf()
    raise PackageError("the node has neither apt nor dnf, so packages cannot be installed on it")


def read(names: list[str]) -> dict[str, Any]:
    """Return manager, offered, installed and held, for these names (each `name` or `name=upstream`), and who holds its locks."""
    manager, plain = of_host(), [Wanted(text).name for text in names]
    offered = manager.offered(names)
    found = {"offered": offered, "installed": manager.installed(plain), "held": manager.held(plain)}
    return {"manager": manager.name, **found, "locks": manager.held_by_others()}
