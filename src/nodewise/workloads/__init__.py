"""Seeded client operations, and clients that execute them. Systems and workloads are found by name, here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nodewise.errors import UsageError
from nodewise.workloads import etcd, register
from nodewise.workloads.client import ClientFactory, Tls

WORKLOADS = {register.name: register}

CLIENTS: dict[str, Callable[[Mapping[str, str], Tls | None], ClientFactory]] = {"etcd": etcd.connect}


def connect(system: str, urls: Mapping[str, str], tls: Tls | None) -> ClientFactory:
    """A factory of clients of a system's nodes. `urls`: from a node's name to where clients reach it."""
    if system not in CLIENTS:
        raise UsageError(f"no workload client for system {system!r}; there is one for: {', '.join(sorted(CLIENTS))}.")
    return CLIENTS[system](urls, tls)
