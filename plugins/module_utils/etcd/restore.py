# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot becomes a member's data: made ready beside what is there, then put in its place while the member is stopped.

Nothing of the member's is deleted. What is made ready is a copy of the snapshot, and goes when it is made again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError, for_etcdctl, last_line
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.recover import remains
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.snapshot import inspect, verify_digest
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import sync
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import Unit
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import Store

READY, KEPT = ".restored-", ".before-restore-"


def make_ready(parameters: dict[str, Any]) -> dict[str, Any]:
    """Verify the snapshot and make a member's data of it beside the data that is there; the member goes on running.

    Returns ready (the folder), revision and keys. On failure nothing is left of it.
    """
    Unit(parameters["unit"]).loaded()
    ready = beside(parameters["data_dir"], READY, parameters["stamp"])
    _refuse_unusable(parameters)
    tools = os.path.join(Store(parameters["root"]).path(parameters["version"]), "bin")
    found = _verified(parameters, os.path.join(tools, "etcdctl"))
    _sweep(ready)
    try:
        _restore(parameters, tools, ready)
        _give(ready, parameters["data_dir"])
    except BaseException:
        shutil.rmtree(ready, ignore_errors=True)
        raise
    return {"changed": True, "ready": ready, "revision": found["revision"], "keys": found["totalKey"]}


def put_in_place(parameters: dict[str, Any]) -> dict[str, Any]:
    """Stop the member, move its data aside and what was made ready in its place; it is left stopped.

    Returns kept, the folder with the data from before, or None when there was none.
    """
    data, ready = parameters["data_dir"], beside(parameters["data_dir"], READY, parameters["stamp"])
    if remains(ready) != "member":
        raise EtcdError(f"{ready} holds no member's data; expected it to have been made ready. Nothing was stopped")
    unit = Unit(parameters["unit"])
    unit.forget_failures()
    unit.stop(parameters["timeout_s"])
    kept = move_aside(data, beside(data, KEPT, parameters["stamp"])) if os.path.exists(os.path.join(data, "member")) else None
    os.rename(os.path.join(ready, "member"), os.path.join(data, "member"))
    os.rmdir(ready)
    for folder in (data, os.path.dirname(ready)):
        sync(folder)
    if os.path.exists(parameters["snapshot"]):
        os.unlink(parameters["snapshot"])
    return {"changed": True, "kept": kept}


def beside(data_dir: str, what: str, stamp: str) -> str:
    """Return a folder on the file system of the data: beside its folder, or in it where that is a mount."""
    data = os.path.realpath(data_dir)
    return f"{data}{'/' if os.path.ismount(data) else ''}{what}{stamp}"


def move_aside(data_dir: str, kept: str) -> str:
    """Move a stopped member's data into a folder of its own, which is returned; the data folder itself stays."""
    os.makedirs(kept, mode=0o700)
    shutil.copystat(data_dir, kept)
    os.rename(os.path.join(data_dir, "member"), os.path.join(kept, "member"))
    sync(os.path.dirname(kept))
    return kept


def _refuse_unusable(parameters: dict[str, Any]) -> None:
    data = parameters["data_dir"]
    if not os.path.isdir(data):
        raise EtcdError(f"{data} is not a folder; expected a node that was provisioned. Nothing was stopped: provision it first")
    if remains(data) == "leftover":
        raise EtcdError(
            f"{data} holds a database and no log: a log that lies elsewhere would not fit what is restored. Nothing was stopped: "
            "move both away and run it again"
        )


def _verified(parameters: dict[str, Any], etcdctl: str) -> dict[str, Any]:
    _size, sha256 = verify_digest(parameters["snapshot"])
    if sha256 != parameters["sha256"]:
        raise EtcdError(f"{parameters['snapshot']} has sha256 {sha256}, expected {parameters['sha256']}; nothing was stopped")
    found = inspect(etcdctl, parameters["snapshot"])
    if found["revision"] != parameters["revision"]:
        raise EtcdError(
            f"{parameters['snapshot']} is of revision {found['revision']}, and {parameters['revision']} was recorded. "
            "Nothing was stopped"
        )
    return found


def _sweep(ready: str) -> None:
    """Remove what an earlier try made ready and did not use."""
    folder, name = os.path.split(ready)
    stem = name[: name.index(READY) + len(READY)]
    for left in os.listdir(folder):
        if left.startswith(stem):
            shutil.rmtree(os.path.join(folder, left))


def _restore(parameters: dict[str, Any], tools: str, ready: str) -> None:
    etcdutl = os.path.join(tools, "etcdutl")  # from 3.5 on
    tool = etcdutl if os.path.exists(etcdutl) else os.path.join(tools, "etcdctl")
    options = {
        "name": parameters["member"],
        "data-dir": ready,
        "initial-advertise-peer-urls": parameters["peer_url"],
        "initial-cluster": parameters["initial_cluster"],
        # Another token makes another cluster: members of an earlier try, or with the old data, cannot mix with these.
        "initial-cluster-token": parameters["token"],
    }
    command = [tool, "snapshot", "restore", parameters["snapshot"], *(f"--{key}={value}" for key, value in options.items())]
    done = subprocess.run(command, env=for_etcdctl(), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode or remains(ready) != "member":
        said = last_line(done.stderr.decode("utf-8", "replace")) or "nothing"
        raise EtcdError(f"{os.path.basename(tool)} snapshot restore failed, and said: {said}. Nothing was stopped")


def _give(ready: str, data_dir: str) -> None:
    """Give it to whom the member's data belongs."""
    owner = os.stat(data_dir)
    for folder, _folders, files in os.walk(ready):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, owner.st_uid, owner.st_gid)
