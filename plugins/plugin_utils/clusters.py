# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which clusters an inventory holds: each is one group with the variable nodewise_system."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import NodewiseError, renamed, role_path


def unread(folder: Path) -> str:
    """What to say of an ansible.cfg that Ansible passes over, as anybody could have written it."""
    there = (folder / "ansible.cfg").exists() and folder.stat().st_mode & stat.S_IWOTH and not os.environ.get("ANSIBLE_CONFIG")
    said = f" (Ansible does not read {folder}/ansible.cfg, as everybody may write to that folder: chmod o-w {folder})"
    return said if there else ""


def find(name: str, task_vars: dict[str, Any], loader: Any) -> dict[str, Any]:
    """The cluster that is named, or the only one, with its system, role, members, groups and domains. Nothing is guessed."""
    groups = [str(group) for group in clusters(task_vars["hostvars"], loader)]
    if not groups:
        testnets = role_path("nodewise.cluster.upgrade").parents[1].resolve() / "inventories/testnet"
        seen = f"; the testnets that are up are in -i {testnets}" if testnets.exists() and not _named(testnets, task_vars) else ""
        raise NodewiseError(
            f"no cluster in the inventory: expected a group with the variable nodewise_system{unread(Path.cwd())}.\n"
            f"Name an inventory with -i{seen}, or bring a testnet up: testnet up --nodes 3 --system etcd --version 3.4.23"
        )
    if not name and len(groups) > 1:
        raise NodewiseError(
            f"the inventory has {len(groups)} clusters ({', '.join(sorted(groups))}); name one: -e nodewise_cluster=NAME"
        )
    chosen = name or next(iter(groups))
    if chosen not in groups:
        raise NodewiseError(f"{chosen} is not a cluster in the inventory; it has {', '.join(sorted(groups))}")
    members = sorted(map(str, task_vars["groups"][chosen]))
    if not members:
        raise NodewiseError(f"the cluster {chosen} has no hosts in the inventory")
    system = _one(members, "nodewise_system", task_vars["hostvars"])
    role = system if "." in system else f"nodewise.cluster.{system}"
    return {"cluster": chosen, "system": system, "role": role, "members": members, **places(chosen, members, task_vars["hostvars"])}


def _named(inventory: Path, task_vars: dict[str, Any]) -> bool:
    """Whether the play was given this inventory already."""
    sources = getattr(task_vars["hostvars"]._inventory, "_sources", [])  # noqa: SLF001  see `clusters`
    return any(Path(str(source)).resolve().is_relative_to(inventory) for source in sources)


def places(cluster: str, members: list[str], hostvars: Any) -> dict[str, Any]:
    """The independent quorum groups of the members, and their failure domains, as the inventory says them.

    Members without `nodewise_quorum_group` are one group with the cluster's name.
    """
    groups: dict[str, list[str]] = {}
    for name in members:
        groups.setdefault(str(renamed.value(hostvars[name], "nodewise_quorum_group") or cluster), []).append(name)
    group_of = {name: group for group, names in groups.items() for name in names}
    domains = {name: renamed.value(hostvars[name], "nodewise_failure_domain") for name in members}
    return {"groups": groups, "group_of": group_of, "domains": {name: str(domain) for name, domain in domains.items() if domain}}


def clusters(hostvars: Any, loader: Any) -> list[str]:
    """The groups that say themselves, in the inventory or in their group_vars, which system they are."""
    inventory = hostvars._inventory  # noqa: SLF001  hostvars know a host's variables, not whose they are
    sources = getattr(inventory, "_sources", [])
    found = []
    for name, group in inventory.groups.items():
        own = {**group.get_vars(), **get_vars_from_inventory_sources(loader, sources, [group], "task")}
        if "nodewise_system" in own and name != "all":
            found.append(name)
    return found


def _one(members: list[str], variable: str, hostvars: Any) -> str:
    values = {str(hostvars[name].get(variable)) for name in members}
    if len(values) != 1:
        raise NodewiseError(
            f"the members disagree on {variable}: {', '.join(sorted(values))}; expected one value for the whole cluster"
        )
    return values.pop()
