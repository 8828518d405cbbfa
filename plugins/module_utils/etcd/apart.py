# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member that became a cluster of its own: stopped at once, and what it took from clients kept as evidence."""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.restore import beside, move_aside
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.snapshot import inspect
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import Unit

DATABASE = "/member/snap/db"
KEPT = ".apart-"


def set_aside(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Stop the unit and move the data that its process had open aside; the unit is left stopped.

    Returns changed, kept (the folder), revision and keys (what that data reaches, None where etcdctl cannot tell).
    """
    unit = Unit(parameters["unit"])
    data = opened(unit.loaded().pid)
    kept = beside(data, KEPT, parameters["stamp"])
    if dry:
        return {"changed": True, "kept": kept, "revision": None, "keys": None}
    unit.end(parameters["timeout_s"])
    found: dict[str, Any] = {}
    with suppress(EtcdError):  # evidence that cannot be counted is kept all the same
        found = inspect(parameters["etcdctl"], data + DATABASE)
    moved = move_aside(data, kept)
    return {"changed": True, "kept": moved, "revision": found.get("revision"), "keys": found.get("totalKey")}


def opened(pid: int | None) -> str:
    """Return the data folder that a process of etcd works with, whatever its configuration says."""
    for link in glob.glob(f"/proc/{pid}/fd/*"):
        with suppress(OSError):
            path = os.readlink(link)
            if path.endswith(DATABASE) and os.path.exists(path):
                return path[: -len(DATABASE)]
    raise EtcdError(f"process {pid} has no database of etcd open; expected a member that runs. Nothing was stopped")
