# Copyright: Nodewise contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Shaping the inventory for etcd, so that templates need no loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def etcd_members(names: list[str], hostvars: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return each member's name, the URL that clients use and the one that its peers use.

    A host says them with nodewise_client_url and nodewise_peer_url; else they follow from its nodewise_address or ansible_host.
    """
    return [_member(name, hostvars[name]) for name in names]


def etcd_initial_cluster(members: list[dict[str, str]]) -> str:
    """Return the members as etcd's initial-cluster wants them."""
    return ",".join(f"{member['name']}={member['peer_url']}" for member in members)


def _member(name: str, host: Mapping[str, Any]) -> dict[str, str]:
    address = str(host.get("nodewise_address") or host.get("ansible_host") or name)
    address = f"[{address}]" if ":" in address else address
    return {
        "name": name,
        "url": str(host.get("nodewise_client_url") or f"https://{address}:2379"),
        "peer_url": str(host.get("nodewise_peer_url") or f"https://{address}:2380"),
    }


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return them by name."""
        return {"etcd_members": etcd_members, "etcd_initial_cluster": etcd_initial_cluster}
