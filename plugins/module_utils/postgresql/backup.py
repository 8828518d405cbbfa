# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A base backup of the node's own primary: made, verified, packed into one file, and where it is asked for restored and read."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import shutil
import tarfile
import time
from typing import IO, Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.caller import Called
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import give
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.programs import Programs
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.trial import Trial, tables_of

ABOUT = """select json_build_object(
  'system', (select system_identifier::text from pg_control_system()),
  'replica', pg_is_in_recovery(),
  'version', split_part(current_setting('server_version'), ' ', 1),
  'size', (select sum(pg_database_size(oid)) from pg_database),
  'wal', (select sum(size) from pg_ls_waldir()),
  'tablespaces', (select coalesce(json_agg(spcname order by spcname), '[]') from pg_tablespace where oid >= 16384))"""
MAKING = "making"  # folder beside the backups: what is in it is half made
SUFFIX = ".tgz"
LEVEL = 1  # of gzip: a third of the time of its default, for a tenth more
CHUNK = 1 << 20


def save(parameters: dict[str, Any]) -> dict[str, Any]:
    """Save a base backup as `path`; returns what the module postgresql_backup does.

    `revision` is how far it reaches: an LSN as a number, which counts `unit`. On failure nothing is left behind; what a process
    that was killed left is removed by the next. Backups beside it from earlier runs are removed once this one is good.
    """
    began, access = time.monotonic(), Access(parameters)
    port = access.member(parameters["member"]).port
    about = access.local_sql(ABOUT, port=port)
    refuse_unsuited(about)
    with Called() as called, Folder(parameters["path"], parameters["os_user"], about) as folder:
        programs = Programs(access, called, began + parameters["deadline"])
        before = tables_of(access, port=port) if parameters["restore"] else {}
        reaches = make(programs, folder.data, port)
        sha256, size = pack(folder.data, folder.part, programs)
        restored = None
        if parameters["restore"]:
            expected = common(before, tables_of(access, port=port))
            shutil.rmtree(folder.data)
            restored = Trial(programs, folder.making, folder.part).run(about["system"], reaches["revision"], expected)
        give(folder.part, parameters["owner"])
        programs.look()
        folder.keep()
    seconds = round(time.monotonic() - began, 3)
    told = {"path": parameters["path"], "sha256": sha256, "size": size, "restored": restored, "unit": "bytes of the log"}
    unpacked = int(about["size"]) + int(about["wal"])
    return {**told, **reaches, "system": about["system"], "version": about["version"], "unpacked": unpacked, "seconds": seconds}


def system_of(parameters: dict[str, Any]) -> str:
    """Return the cluster's system identifier."""
    access = Access(parameters)
    return str(access.local_sql(ABOUT, port=access.member(parameters["member"]).port)["system"])


def refuse_unsuited(about: dict[str, Any]) -> None:
    """Refuse a replica, and data that lies outside of the data folder."""
    if about["replica"]:
        raise PostgresqlError("this node's PostgreSQL is a replica; expected the primary: leadership moved, run it again")
    if about["tablespaces"]:
        raise PostgresqlError(
            f"there are tablespaces ({', '.join(about['tablespaces'])}), which a backup in one file does not hold. "
            "Declare that of another tool: nodewise_backup_evidence"
        )


def make(programs: Programs, data: str, port: int) -> dict[str, Any]:
    """Make a base backup as a folder, with the WAL that it needs, and verify it; returns its timeline and how far it reaches."""
    host = ["--host", programs.access.socket_dir] if programs.access.socket_dir else []
    to = [*host, "--port", str(port), "--username", programs.access.os_user, "--no-password", "--pgdata", data]
    # It is packed from the page cache, and the pack is what is synced.
    programs.run("pg_basebackup", "--format=plain", "--wal-method=stream", "--checkpoint=fast", "--no-sync", *to)
    return verify(programs, data)


def verify(programs: Programs, data: str) -> dict[str, Any]:
    """Hold a backup against its manifest: every file is there with its checksum, and the WAL that it needs can be read."""
    programs.run("pg_verifybackup", "--quiet", data)
    with open(os.path.join(data, "backup_manifest"), encoding="utf-8") as stream:
        last = json.load(stream)["WAL-Ranges"][-1]
    high, _slash, low = last["End-LSN"].partition("/")
    return {"timeline": int(last["Timeline"]), "revision": (int(high, 16) << 32) + int(low, 16)}


def pack(data: str, part: str, programs: Programs) -> tuple[str, int]:
    """Pack a folder into one file on disk; returns its SHA-256 and size."""
    with open(part, "xb", opener=private) as file:
        watched = Watched(file, programs)
        with tarfile.open(fileobj=watched, mode="w:gz", compresslevel=LEVEL, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            archive.add(data, arcname=".")
        file.flush()
        os.fsync(file.fileno())
    return watched.digest.hexdigest(), os.path.getsize(part)


def private(path: str, flags: int) -> int:
    """Open a file that nobody else may read."""
    return os.open(path, flags, 0o600)


class Watched:
    """A file that is written once, with the digest of what was; writing ends when nobody waits for it, or it takes too long."""

    def __init__(self, file: IO[bytes], programs: Programs) -> None:
        self.file, self.programs, self.digest = file, programs, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and count in."""
        self.programs.look()
        self.digest.update(data)
        return self.file.write(data)

    def tell(self) -> int:
        """Return where the file ends."""
        return self.file.tell()

    def flush(self) -> None:
        """Do nothing: it is flushed in the end."""


def common(before: dict[str, set[int]], after: dict[str, set[int]]) -> dict[str, set[int]]:
    """Return what was there before and after: all of that is in a backup that was made meanwhile."""
    return {name: tables & after[name] for name, tables in before.items() if name in after}


class Folder:
    """The folder of the backups, held by one process at a time; what is half made in it goes, that of a dead one too."""

    def __init__(self, path: str, user: str, about: dict[str, Any]) -> None:
        self.path, self.user, self.about = path, user, about
        self.folder = os.path.dirname(path)
        self.making = os.path.join(self.folder, MAKING)
        self.data, self.part = os.path.join(self.making, "data"), os.path.join(self.making, "part")
        self.lock = -1

    def __enter__(self) -> Folder:  # noqa: PYI034  typing.Self is newer than the nodes' Python
        os.makedirs(self.folder, mode=0o711, exist_ok=True)
        self.lock = os.open(os.path.join(self.folder, ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self.lock)
            raise PostgresqlError(f"another process makes a backup in {self.folder}; run it again when that has ended") from None
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.making, ignore_errors=True)
        os.close(self.lock)

    def _begin(self) -> None:
        if os.path.exists(self.making):
            shutil.rmtree(self.making)
        self._refuse_full()
        owner = pwd.getpwnam(self.user)
        os.mkdir(self.making, 0o700)
        os.chown(self.making, owner.pw_uid, owner.pw_gid)

    def _refuse_full(self) -> None:
        """The folder, its pack and the WAL that is written meanwhile have to find room."""
        room = os.statvfs(self.folder)
        free, needed = room.f_bavail * room.f_frsize, 2 * (int(self.about["size"]) + int(self.about["wal"]))
        if free < needed:
            raise PostgresqlError(
                f"{self.folder} has {free >> 20} MiB free, a backup may need {needed >> 20} MiB; make room, or name another "
                "folder with nodewise_backup_dir"
            )

    def keep(self) -> None:
        """Give what was made its name, and remove the backups of earlier runs."""
        os.replace(self.part, self.path)
        for name in os.listdir(self.folder):
            if name.endswith(SUFFIX) and name != os.path.basename(self.path):
                os.unlink(os.path.join(self.folder, name))
