# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A base backup becomes the cluster's data: recovered beside one member's, put in its place while all are stopped, then copied.

Nothing of the members' is deleted.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.caller import Called
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import sync
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import Unit
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, PostgresqlError, complaint
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.backup import CHUNK
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.programs import Programs
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.trial import Trial

READY, KEPT = ".restored-", ".before-restore-"
INTERVAL = 0.2  # seconds between looks
FORGET = (
    "import sys\nfrom patroni.config import Config\nfrom patroni.dcs import get_dcs\nget_dcs(Config(sys.argv[1])).delete_cluster()"
)


def make_ready(given: dict[str, Any]) -> dict[str, Any]:
    """On the member that takes the data: verify the backup, and recover it beside the data that is there; all goes on running.

    Returns ready, the folder; None on the others. On failure nothing is left of it.
    """
    Unit(given["unit"]).loaded()
    data = os.path.realpath(given["data_dir"])
    if os.path.ismount(data):
        raise PostgresqlError(
            f"{data} is a mount of its own and cannot be moved aside. Nothing was stopped: see docs/postgresql.md"
        )
    if given["member"] != given["lead"]:
        return {"changed": False, "ready": None}
    refuse_other(given)
    ready = data + READY + given["stamp"]
    sweep(data)
    try:
        user = pwd.getpwnam(given["os_user"])
        os.mkdir(ready, 0o700)
        os.chown(ready, user.pw_uid, user.pw_gid)
        with Called() as called:
            programs = Programs(Access(given), called, time.monotonic() + given["timeout_s"])
            with Trial(programs, ready, given["backup"]).instance(given["revision"], keep=True):
                pass
        os.sync()
    except BaseException:
        shutil.rmtree(ready, ignore_errors=True)
        raise
    return {"changed": True, "ready": ready}


def put_in_place(given: dict[str, Any]) -> dict[str, Any]:
    """Stop the member, move its data aside and what was made ready in its place; it is left stopped.

    Returns kept, the folder with the data from before, or None when there was none.
    """
    data = os.path.realpath(given["data_dir"])
    ready = os.path.join(data + READY + given["stamp"], "restored")
    leads = given["member"] == given["lead"]
    if leads and not os.path.exists(os.path.join(ready, "PG_VERSION")):
        raise PostgresqlError(f"{ready} holds no data; expected it to have been made ready. Nothing was stopped")
    unit = Unit(given["unit"])
    unit.forget_failures()
    unit.stop(given["timeout_s"])
    stop_server(data, given["timeout_s"])
    kept = None
    if os.path.exists(os.path.join(data, "PG_VERSION")):
        kept = data + KEPT + given["stamp"]
        os.rename(data, kept)
    if leads:
        if os.path.isdir(data):
            os.rmdir(data)
        os.rename(ready, data)
        shutil.rmtree(os.path.dirname(ready))
        os.unlink(given["backup"])
    sync(os.path.dirname(data))
    return {"changed": True, "kept": kept}


def forget(given: dict[str, Any]) -> dict[str, Any]:
    """Have the store know nothing of the cluster: it would take data that ends earlier for a replica that is behind."""
    own = environment(PYTHONPATH=given["patroni"])
    command = ["runuser", "-u", given["os_user"], "--", "/usr/bin/python3", "-B", "-c", FORGET, given["patroni_config"]]
    done = subprocess.run(
        command, env=own, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=given["timeout_s"], check=False
    )
    if done.returncode:
        why = complaint(done.stderr.decode("utf-8", "replace"))
        raise PostgresqlError(f"what the store knows of the cluster could not be removed: {why}")
    return {"changed": True}


def lead(given: dict[str, Any]) -> dict[str, Any]:
    """Wait until the member that has the data is the primary."""
    access, until, why = Access(given), time.monotonic() + given["timeout_s"], ""
    port = access.member(given["member"]).port
    while time.monotonic() < until:
        try:
            if access.local_sql("select to_json(not pg_is_in_recovery())", port=port):
                return {"changed": False}
            why = "it is a replica"
        except PostgresqlError as error:
            why = str(error)
        time.sleep(INTERVAL)
    raise PostgresqlError(f"{given['member']} is not the primary after {given['timeout_s']:g} s: {why}; look into its log")


def refuse_other(given: dict[str, Any]) -> None:
    """Refuse a file that is not the backup, and data of another major than that of the programs."""
    digest = hashlib.sha256()
    with open(given["backup"], "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != given["sha256"]:
        raise PostgresqlError(f"{given['backup']} has sha256 {digest.hexdigest()}, expected {given['sha256']}; nothing was stopped")


def sweep(data: str) -> None:
    """Remove what an earlier try made ready and did not use."""
    folder, name = os.path.split(data)
    for left in os.listdir(folder):
        if left.startswith(name + READY):
            shutil.rmtree(os.path.join(folder, left))


def stop_server(data: str, limit: float) -> None:
    """End a server that a Patroni which was killed left running."""
    until = time.monotonic() + limit
    while (pid := server_of(data)) is not None:
        os.kill(pid, signal.SIGINT)
        if time.monotonic() > until:
            raise PostgresqlError(
                f"PostgreSQL (process {pid}) did not end in {limit:g} s; nothing was moved: end it, and begin again"
            )
        time.sleep(INTERVAL)


def server_of(data: str) -> int | None:
    """Return the process that runs on a data folder."""
    try:
        with open(os.path.join(data, "postmaster.pid"), encoding="ascii") as stream:
            pid = int(stream.readline())
        return pid if os.readlink(f"/proc/{pid}/cwd") == data else None
    except (OSError, ValueError):
        return None
