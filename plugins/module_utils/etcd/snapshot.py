# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot of one member, proved to be whole before it gets its name."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import Member, members_of
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import Etcdctl, EtcdError, for_etcdctl, last_line
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import give

_DIGEST = 32  # bytes of SHA-256 that etcd appends to a snapshot
_CHUNK = 1 << 20


def save(parameters: dict[str, Any]) -> dict[str, Any]:
    """Save a snapshot from `member` as `path`, verify it and return path, sha256, size, revision, keys and seconds.

    On failure nothing is left behind. Snapshots that were saved beside it earlier are removed: a folder holds one.
    """
    began = time.monotonic()
    path, part = parameters["path"], parameters["path"] + ".new"
    member = _own(parameters)
    before = _status(member)
    _prepare(os.path.dirname(path), int(before["dbSize"]))
    try:
        _snapshot(parameters, member, part)
        size, sha256 = verify_digest(part)
        found = inspect(parameters["etcdctl"], part)
        _compare(found, int(before["header"]["revision"]), int(_status(member)["header"]["revision"]))
        give(part, parameters["owner"])
        os.replace(part, path)
    finally:
        for left in (part, part + ".part"):
            if os.path.exists(left):
                os.unlink(left)
    _sweep(path)
    seconds = round(time.monotonic() - began, 4)
    return {
        "path": path,
        "sha256": sha256,
        "size": size,
        "revision": int(found["revision"]),
        "keys": int(found["totalKey"]),
        "seconds": seconds,
    }


def verify_digest(path: str) -> tuple[int, str]:
    """Return size and SHA-256 of a snapshot whose own digest, its last 32 bytes, is that of the rest."""
    size = os.path.getsize(path)
    # A database is whole pages; what is over is the digest. Without it the transfer was cut.
    if size % 512 != _DIGEST:
        raise EtcdError(f"the snapshot has {size} bytes and no digest at its end: it is not whole")
    digest, left = hashlib.sha256(), size - _DIGEST
    with open(path, "rb") as file:
        while left:
            chunk = file.read(min(_CHUNK, left))
            digest.update(chunk)
            left -= len(chunk)
        appended = file.read()
    if digest.digest() != appended:
        raise EtcdError(
            f"the snapshot's digest is {appended.hex()[:12]}…, its content has {digest.hexdigest()[:12]}…: it is damaged"
        )
    digest.update(appended)
    return size, digest.hexdigest()


def _own(parameters: dict[str, Any]) -> Member:
    for member in members_of(parameters):
        if member.name == parameters["member"]:
            member.version()
            return member
    raise EtcdError(f"{parameters['member']} is not among the members")


def _status(member: Member) -> dict[str, Any]:
    return member.call("maintenance/status")


def _prepare(folder: str, needed: int) -> None:
    os.makedirs(folder, mode=0o711, exist_ok=True)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free < 2 * needed:
        raise EtcdError(
            f"{folder} has {free >> 20} MiB free, a snapshot may need {2 * needed >> 20} MiB; make room and run it again"
        )


def _snapshot(parameters: dict[str, Any], member: Member, part: str) -> None:
    etcdctl = Etcdctl.of(parameters)
    code, _unused_output, errors = etcdctl.run(["snapshot", "save", part], [member.url], timeout=parameters["deadline"])
    if code != 0:
        raise EtcdError(f"etcdctl snapshot save from {member.name}: {last_line(errors)}")


def inspect(etcdctl: str, part: str) -> dict[str, Any]:
    """Read the snapshot as etcd would. From 3.5 on that is etcdutl's, which lies beside etcdctl."""
    beside = os.path.join(os.path.dirname(etcdctl), "etcdutl")
    tool = beside if os.path.exists(beside) else etcdctl
    command = [tool, "snapshot", "status", part, "--write-out", "json"]
    done = subprocess.run(command, env=for_etcdctl(), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
        return {"revision": int(found["revision"]), "totalKey": int(found["totalKey"]), "hash": int(found["hash"])}
    except (ValueError, KeyError, TypeError):
        raise EtcdError(
            f"{os.path.basename(tool)} snapshot status: {last_line(done.stderr.decode('utf-8', 'replace')) or 'no answer'}"
        ) from None


def _compare(found: dict[str, Any], before: int, after: int) -> None:
    if found["totalKey"] < 1:
        raise EtcdError("the snapshot holds nothing, expected at least the cluster's own records")
    # A cluster begins at revision 1, and a snapshot without any key says 0.
    if not (0 if before == 1 else before) <= found["revision"] <= after:
        raise EtcdError(f"the snapshot is of revision {found['revision']}, expected one from {before} to {after}")


def _sweep(path: str) -> None:
    folder = os.path.dirname(path)
    for name in os.listdir(folder):
        if name.endswith(".db") and name != os.path.basename(path):
            os.unlink(os.path.join(folder, name))
