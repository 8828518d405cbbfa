# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Shaping the inventory for etcd, so that templates need no loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def etcd_members(names: list[str], hostvars: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return each member's name and the URL that clients use: nodewise_client_url of the host, else from its address."""
    return [{"name": name, "url": etcd_url(hostvars[name], "client", 2379)} for name in names]


def etcd_initial_cluster(names: list[str], hostvars: Mapping[str, Any]) -> str:
    """Return the members with their peers' URLs, as etcd's initial-cluster wants them."""
    return ",".join(f"{name}={etcd_url(hostvars[name], 'peer', 2380)}" for name in names)


def etcd_url(host: Mapping[str, Any], use: str, port: int) -> str:
    """Return a host's URL for `use` (client or peer): told by nodewise_<use>_url, else by nodewise_address or ansible_host."""
    address = str(host.get("nodewise_address") or host.get("ansible_host") or host["inventory_hostname"])
    return str(host.get(f"nodewise_{use}_url") or f"https://{f'[{address}]' if ':' in address else address}:{port}")


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return them by name."""
        return {"etcd_members": etcd_members, "etcd_initial_cluster": etcd_initial_cluster, "etcd_url": etcd_url}
