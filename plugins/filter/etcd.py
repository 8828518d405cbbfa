# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Shaping the inventory for etcd, so that templates need no loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FLAGS = {"ca": "--cacert", "cert": "--cert", "key": "--key"}  # of etcdctl
ASKED = ["get", "nodewise", "--keys-only", "--limit", "1", "--command-timeout", "2s"]
# A linearizable read, which is answered whether there is such a key or not. 3.3 has its gateway elsewhere.
READ = {"paths": ["/v3/kv/range", "/v3beta/kv/range"], "body": {"key": "bm9kZXdpc2U=", "keys_only": True, "limit": 1}}


def etcd_members(names: list[str], hostvars: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return each member's name and the URL that clients use: nodewise_client_url of the host, else from its address."""
    return [{"name": name, "url": etcd_url(hostvars[name], "client", 2379)} for name in names]


def etcd_initial_cluster(names: list[str], hostvars: Mapping[str, Any]) -> str:
    """Return the members with their peers' URLs, as etcd's initial-cluster wants them."""
    urls = {name: etcd_url(hostvars[name], "peer", 2380).split(",") for name in names}
    return ",".join(f"{name}={url}" for name in names for url in urls[name])


def etcd_url(host: Mapping[str, Any], use: str, port: int) -> str:
    """Return a host's URL for `use` (client or peer): told by nodewise_<use>_url, else by nodewise_address or ansible_host.

    Several URLs of one member, a list or a text, come as etcd writes them: with commas between.
    """
    told = host.get(f"nodewise_{use}_url")
    if told:
        return ",".join(str(url).strip() for url in (told.split(",") if isinstance(told, str) else told))
    address = str(host.get("nodewise_address") or host.get("ansible_host") or host["inventory_hostname"])
    return f"https://{f'[{address}]' if ':' in address else address}:{port}"


def etcd_probe(access: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return how the module sample asks a member: by a request to its gateway, and by etcdctl where that is refused."""
    urls = next(member["url"] for member in access["members"] if member["name"] == name)
    files = {key: access[key] for key in ("ca", "cert", "key") if access[key]} if urls.startswith("https:") else {}
    words = ["env", "ETCDCTL_API=3", access["etcdctl"], *ASKED, "--endpoints", urls]
    words += [word for key, path in files.items() for word in (FLAGS[key], path)]
    user = {"ETCDCTL_USER": f"{access['user']}:{access['password'] or ''}"} if access["user"] else {}
    # Only etcdctl finds out which of several URLs answers.
    request = None if "," in urls else {"url": urls, **READ, **files}
    return {"request": request, "probe": words, "secrets": user}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return them by name."""
        return {
            "etcd_members": etcd_members,
            "etcd_initial_cluster": etcd_initial_cluster,
            "etcd_url": etcd_url,
            "etcd_probe": etcd_probe,
        }
