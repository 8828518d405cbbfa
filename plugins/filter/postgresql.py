# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Shaping the inventory for PostgreSQL, so that templates need no loops."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from ansible_collections.nodewise.cluster.plugins.filter.etcd import etcd_url

OURS = "postgres,rewind,nodewise"  # who comes from another member: Patroni, pg_rewind, and the modules that look at the cluster


def postgresql_members(
    names: list[str], hostvars: Mapping[str, Any], port: int = 5432, rest_port: int = 8008
) -> list[dict[str, Any]]:
    """Return each member's name, host and port, and the URL of its Patroni: nodewise_rest_url, else from its address."""
    return [_member(name, hostvars[name], int(port), int(rest_port)) for name in names]


def postgresql_endpoint(host: str, port: int) -> str:
    """Return host and port as one word, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def postgresql_hba(members: list[dict[str, Any]], more: list[str]) -> list[str]:
    """Return the lines of pg_hba.conf: the cluster's own, from its members alone, then those for clients.

    The superuser is refused from elsewhere; without TLS and a password it comes over the node's own socket, and nobody else.
    """
    lines = ["local all postgres peer", "local replication postgres peer", "local replication replicator scram-sha-256"]
    for place in sorted({_range(member["host"]) for member in members}):
        lines += [f"hostssl all {OURS} {place} scram-sha-256", f"hostssl replication replicator {place} scram-sha-256"]
    return [*lines, "host all postgres all reject", *more]


def postgresql_packages(version: str) -> list[str]:
    """Return what the package manager is asked for: `postgresql-15=15.18`; for a major alone any version; for none nothing."""
    major, _dot, minor = str(version).partition(".")
    names = [f"postgresql-{major}", f"postgresql-client-{major}"] if major else []
    return [f"{name}={version}" for name in names] if minor else names


def postgresql_passfile(user: str, password: str) -> str:
    """Return the text of a password file of libpq that is good for all databases of all hosts."""
    told = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:{user}:{told}\n"


def postgresql_dcs_hosts(names: list[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Return host and port of each member of the etcd cluster that is the store."""
    return [etcd_url(hostvars[name], "client", 2379).partition("://")[2].rstrip("/") for name in names]


def postgresql_dcs_pki_dir(names: list[str], hostvars: Mapping[str, Any], inventory_dir: str, store: str) -> str:
    """Return where the store's authority is on the controller: nodewise_pki_dir of its hosts, else where its role puts it."""
    told = hostvars[names[0]].get("nodewise_pki_dir") if names else None
    return str(told or f"{inventory_dir}/pki/{store}")


def _member(name: str, host: Mapping[str, Any], port: int, rest_port: int) -> dict[str, Any]:
    address = str(host.get("nodewise_address") or host.get("ansible_host") or host["inventory_hostname"])
    rest = str(host.get("nodewise_rest_url") or f"https://{postgresql_endpoint(address, rest_port)}")
    return {"name": name, "host": address, "port": port, "rest": rest}


def _range(host: str) -> str:
    """An address as the range of itself, which is what pg_hba.conf takes besides names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return f"{address}/{address.max_prefixlen}"


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Return them by name."""
        return {
            "postgresql_endpoint": postgresql_endpoint,
            "postgresql_hba": postgresql_hba,
            "postgresql_members": postgresql_members,
            "postgresql_packages": postgresql_packages,
            "postgresql_passfile": postgresql_passfile,
            "postgresql_dcs_hosts": postgresql_dcs_hosts,
            "postgresql_dcs_pki_dir": postgresql_dcs_pki_dir,
        }
