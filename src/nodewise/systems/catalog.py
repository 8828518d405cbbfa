# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a system gives to workloads, found by the system's name, here and nowhere else.

Nodewise's own systems are the folders beside this file. A system of a user's own is an entry point of the group `nodewise.systems`,
in the user's package, and is named as `nodewise_system` names it:

    [project.entry-points."nodewise.systems"]
    "acme.storage.ring" = "acme_ring.client"
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from nodewise import systems
from nodewise.errors import UsageError
from nodewise.simulation.workloads.client import ClientFactory, Credentials
from nodewise.text import nearest

GROUP = "nodewise.systems"


@runtime_checkable
class System(Protocol):
    """What a system's module gives. Its clients are a `Client`, which `Scans` for final reads and `Holds` the data from before."""

    def url(self, address: str) -> str:
        """Where clients reach a node, by its address."""

    def connect(self, urls: Mapping[str, str], credentials: Credentials | None) -> ClientFactory:
        """A factory of clients. `urls`: where each node is reached. Raises `OSError` when credentials cannot be read."""


def names() -> dict[str, str]:
    """Each system that gives clients, and the module that does: our own first."""
    there = {one.name: f"{systems.__name__}.{one.name}.client" for one in pkgutil.iter_modules(systems.__path__) if one.ispkg}
    ours = {name: module for name, module in there.items() if find_spec(module)}
    return {one.name: one.value for one in entry_points(group=GROUP)} | ours


def operations(name: str, variables: Mapping[str, Any]) -> frozenset[str]:
    """What a system's clients can do beside reading: its `OPERATIONS`; writes and additions, unless it says so."""
    return frozenset(getattr(find(name, variables), "OPERATIONS", ("write", "add")))


def durable(name: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Variables of its clusters with which what was acknowledged outlives the leader: its `DURABLE`; none, unless it says so."""
    found: Mapping[str, Any] = getattr(find(name, variables), "DURABLE", {})
    return found


def find(name: str, variables: Mapping[str, Any] = MappingProxyType({})) -> System:
    """A system by its name. Raises `UsageError`, in one line, when none of that name gives clients.

    A module with a function `described` gives the system that `variables`, those of the cluster, describe.
    """
    known = names()
    if name not in known:
        there = f"{nearest(name, known)}; found: {', '.join(sorted(known))}"
        raise UsageError(f"no workload client for system {name!r}{there}; expected it in the entry points {GROUP!r}")
    try:
        module = import_module(known[name])
    except ImportError as error:
        raise UsageError(f"the workload client of {name}, {known[name]}, cannot be imported: {error}") from error
    found = module.described(variables) if hasattr(module, "described") else module
    if not isinstance(found, System):
        raise UsageError(f"the workload client of {name}, {known[name]}, lacks url or connect; expected the functions of a System")
    return found
