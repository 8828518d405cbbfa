# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workloads by name: every file here that has operations. A new workload is a new file."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Protocol, runtime_checkable

from nodewise.errors import UsageError
from nodewise.simulation import workloads
from nodewise.simulation.workloads.client import Operations
from nodewise.text import nearest


@runtime_checkable
class Workload(Protocol):
    """What a workload's file gives. Every key that it writes is read back in the end, through each node."""

    @property
    def checkers(self) -> tuple[str, ...]:
        """Names of those that judge its history."""

    @property
    def deadline(self) -> float:
        """Seconds until a client gives up an operation; an attempt that may have happened stays so in the history."""

    @property
    def asks(self) -> frozenset[str]:
        """The operations (`f`) that a client has to know for it, `read` aside."""

    def operations(self, seed: int, process: int, clients: int, keys: int, prefix: str) -> Operations:
        """Endless operations of one client, the same for the same seed and answers. Values are unique in a run."""


@cache
def workloads_known() -> dict[str, Workload]:
    """Each workload by its file's name."""
    modules = {one.name: import_module(f"{workloads.__name__}.{one.name}") for one in pkgutil.iter_modules(workloads.__path__)}
    return {name: module for name, module in modules.items() if isinstance(module, Workload)}


def workload_named(name: str) -> Workload:
    """A workload by its name. Raises UsageError."""
    if name not in workloads_known():
        raise UsageError(f"no workload {name!r}{nearest(name, workloads_known())}; there are: {', '.join(workloads_known())}")
    return workloads_known()[name]
