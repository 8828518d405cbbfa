# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where suites are looked for: named folders, beside the inventory, the working directory, the role's collection, this one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import NodewiseError, plain, role_path, smoke_suite


def shipped(role: str) -> list[Path]:
    """The folder of suites that come with a role's collection; none where the role is not installed."""
    with suppress(NodewiseError):
        return [(role_path(role).parent.parent / "suites").resolve()]
    return []


def places(folders: list[str], task_vars: dict[str, Any]) -> tuple[list[Path], list[Path]]:
    """Folders of one's own, then those that come with the system's role and with Nodewise. A named folder has to exist."""
    if missing := [one for one in folders if not Path(one).is_dir()]:
        raise NodewiseError(f"nodewise_suites names {', '.join(missing)}, which is not a folder")
    role = plain(task_vars.get("nodewise_run") or {}).get("role")
    coming = list(dict.fromkeys([*(shipped(role) if role else []), *shipped("nodewise.cluster.smoke")]))
    inventory = plain(task_vars.get("inventory_dir")) if isinstance(task_vars.get("inventory_dir"), str) else None
    own = [Path(one) for one in folders] + ([Path(inventory) / "suites"] if inventory else []) + [Path("suites")]
    return [one for one in dict.fromkeys(path.resolve() for path in own) if one not in coming], coming


def find(name: str, folders: list[str], task_vars: dict[str, Any]) -> Any:
    """A suite by its name, or by the path of its folder."""
    own, coming = places(folders, task_vars)
    return smoke_suite.find(name, [*own, *coming])


def chosen(names: list[str], folders: list[str], task_vars: dict[str, Any]) -> list[Any]:
    """The suites that are named; without a name all of one's own, and the one that comes with the system, named like its role."""
    if not names:
        role = plain(task_vars["nodewise_run"])["role"]
        names = smoke_suite.names(places(folders, task_vars)[0])
        names += sorted({role.rpartition(".")[2]} & set(smoke_suite.names(shipped(role))) - set(names))
    return [find(name, folders, task_vars) for name in names]


def passed_over(suites: list[Any], folders: list[str], task_vars: dict[str, Any]) -> list[str]:
    """What to say of suites that are not run because one of their name comes first; nothing of those that are named by a path."""
    own, coming = places(folders, task_vars)
    return [
        f"suite {one.name} is {one.folder}; not run is {', '.join(map(str, others))}"
        for one in suites
        if (others := smoke_suite.shadowed(one, [*own, *coming]))
    ]
