# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seeded client operations, and clients that execute them. Systems and workloads are found by name, here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nodewise.errors import UsageError
from nodewise.simulation.workloads import etcd, postgresql, register
from nodewise.simulation.workloads.client import ClientFactory, Credentials

WORKLOADS = {register.name: register}

CLIENTS: dict[str, Callable[[Mapping[str, str], Credentials | None], ClientFactory]] = {
    "etcd": etcd.connect,
    "postgresql": postgresql.connect,
}
URLS = {"etcd": "https://{}:2379", "postgresql": "postgresql://{}:5432"}  # where clients reach a node, by its address


def connect(system: str, urls: Mapping[str, str], credentials: Credentials | None) -> ClientFactory:
    """A factory of clients of a system's nodes. `urls`: from a node's name to where clients reach it."""
    if system not in CLIENTS:
        raise UsageError(f"no workload client for system {system!r}; there is one for: {', '.join(sorted(CLIENTS))}.")
    return CLIENTS[system](urls, credentials)


def url(system: str, address: str) -> str:
    """Where clients reach a node of a system, by its address; empty for a system without a client."""
    return URLS.get(system, "").format(address)
