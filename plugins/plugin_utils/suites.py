# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where suites are looked for: folders that were named, beside the inventory, in the working directory, and in this collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import plain, role_path, smoke_suite


def ours() -> Path:
    """The suites that come with Nodewise."""
    return (role_path("nodewise.cluster.smoke").parent.parent / "suites").resolve()


def places(folders: list[str], task_vars: dict[str, Any]) -> list[Path]:
    """All folders of suites, one's own first."""
    inventory = plain(task_vars.get("inventory_dir")) if isinstance(task_vars.get("inventory_dir"), str) else None
    own = [Path(one) for one in folders] + ([Path(inventory) / "suites"] if inventory else []) + [Path("suites")]
    found = dict.fromkeys(path.resolve() for path in own)
    found.pop(ours(), None)
    return [*found, ours()]


def chosen(names: list[str], folders: list[str], system: str, task_vars: dict[str, Any]) -> list[Any]:
    """The suites that are named; without a name all of one's own, and the one that comes with the system."""
    looked = places(folders, task_vars)
    if not names:
        names = smoke_suite.names(looked[:-1])
        here = system.rpartition(".")[2]
        names += [here] if here not in names and here in smoke_suite.names([ours()]) else []
    return [smoke_suite.find(name, looked) for name in names]
