# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof of a base backup: unpacked, started as an instance that nobody reaches, asked for what must be in it, and removed."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tarfile
import tempfile
import time
from contextlib import contextmanager
from typing import IO, Any, Iterator

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, PostgresqlError, complaint
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.programs import TICK, Programs, end, last_words

DATABASES = "select json_agg(datname) from pg_database where datallowconn"
TABLES = "select coalesce(json_agg(oid::bigint), '[]') from pg_class where relkind in ('r', 'm') and relpersistence <> 't'"
# Counting every table reads every page of it.
ROWS = """select coalesce(sum((xpath('/row/n/text()',
  query_to_xml(format('select count(*) as n from %I.%I', nspname, relname), false, true, '')))[1]::text::bigint), 0)
  from pg_class join pg_namespace n on n.oid = relnamespace
  where relkind in ('r', 'm') and relispopulated and relpersistence = 'p'"""
SYSTEM = "select to_json(system_identifier::text) from pg_control_system()"
REVISION = "select to_json(pg_current_wal_lsn() - '0/0'::pg_lsn)"
EARLY = ("No such file or directory", "Connection refused", "the database system is", "no answer in time")  # it starts
LIMIT = 30  # seconds for a question to a catalog
DYING = 1.0  # seconds in which a server that has closed its connections ends
# The instance's only settings: it reaches nobody, is reached through its socket alone, archives nothing, and may be lost.
SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "archive_mode": "off",
    "restore_command": "",
    "primary_conninfo": "",
    "synchronous_standby_names": "",
    "max_logical_replication_workers": "0",
    "autovacuum": "off",
    "fsync": "off",
    "huge_pages": "off",
    "shared_buffers": "16MB",
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
}
# Where the backup's own values are needed, the control file has them.
CONTROLLED = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}


def tables_of(access: Access, **where: Any) -> dict[str, set[int]]:
    """Return the tables of each database that may be connected to, by their numbers; `where`: port or folder of the socket."""
    names = access.local_sql(DATABASES, LIMIT, **where)
    return {name: set(access.local_sql(TABLES, LIMIT, name, **where)) for name in names}


class Trial:
    """One restore of an archive below a folder."""

    def __init__(self, programs: Programs, folder: str, archive: str) -> None:
        self.programs, self.access, self.folder, self.archive = programs, programs.access, folder, archive
        self.data, self.config, self.log = (os.path.join(folder, name) for name in ("restored", "postgresql.conf", "log"))

    def run(self, system: str, reaches: int, expected: dict[str, set[int]]) -> dict[str, Any]:
        """Return databases, tables, rows and seconds of what was restored; PostgresqlError where it is another or lacks data."""
        began = time.monotonic()
        with self.instance(reaches):
            self.identify(system)
            found = tables_of(self.access, folder=self.folder)
            compare(found, expected)
            rows = sum(int(self.access.local_sql(ROWS, self.programs.left(), name, folder=self.folder)) for name in found)
        seconds = round(time.monotonic() - began, 3)
        return {"databases": len(found), "tables": sum(map(len, found.values())), "rows": rows, "seconds": seconds}

    @contextmanager
    def instance(self, reaches: int, keep: bool = False) -> Iterator[None]:
        """Have it running, recovered as far as the backup reaches; with `keep` it is ended in order, and its data is on disk."""
        self.unpack()
        self.configure({"fsync": "on"} if keep else {})
        with open(self.log, "w+b") as log:
            process = self.programs.start("postgres", "-D", self.data, "-c", f"config_file={self.config}", output=log)
            try:
                self.wait(process, log)
                self.reach(reaches)
                yield
                end(process, signal.SIGINT if keep else signal.SIGQUIT, self.programs.left())
            finally:
                end(process, signal.SIGQUIT)
        if keep and process.returncode:
            raise PostgresqlError(f"the restored backup did not shut down cleanly (exit code {process.returncode})")

    def unpack(self) -> None:
        """Unpack the archive, and hold it against its manifest."""
        try:
            with tarfile.open(self.archive, mode="r:gz") as archive:
                archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)  # ours, with its owners
                archive.extractall(self.data)  # noqa: S202
        except (OSError, EOFError, tarfile.TarError) as error:
            raise PostgresqlError(f"the backup cannot be unpacked: {error}") from None
        self.programs.run("pg_verifybackup", "--quiet", self.data)
        for name in ("standby.signal", "recovery.signal", "postgresql.auto.conf"):
            if os.path.exists(os.path.join(self.data, name)):
                os.unlink(os.path.join(self.data, name))

    def configure(self, more: dict[str, str]) -> None:
        """Write the instance's own settings; nothing that the cluster is configured with is read."""
        hba, ident = self.config + ".hba", self.config + ".ident"
        settings = {
            **SETTINGS,
            **self.controlled(),
            **more,
            "unix_socket_directories": self.folder,
            "hba_file": hba,
            "ident_file": ident,
        }
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        user = pwd.getpwnam(self.access.os_user)
        for path, text in ((self.config, lines), (hba, "local all all peer\n"), (ident, "")):
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.chown(path, user.pw_uid, user.pw_gid)

    def controlled(self) -> dict[str, str]:
        """Return the settings that recovery needs as they were."""
        with tempfile.TemporaryFile() as said:
            process = self.programs.start("pg_controldata", "-D", self.data, output=said)
            process.wait()
            told = dict(line.partition(":")[::2] for line in last_words(said).splitlines())
        if process.returncode or not set(CONTROLLED) <= set(told):
            raise PostgresqlError("pg_controldata does not read the restored backup")
        return {setting: told[name].strip() for name, setting in CONTROLLED.items()}

    def wait(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        """Wait until the instance has recovered."""
        while process.poll() is None:
            try:
                if self.access.local_sql("select to_json(not pg_is_in_recovery())", folder=self.folder):
                    return
            except PostgresqlError as error:
                if not str(error).startswith(EARLY) and self.stays(process):
                    raise PostgresqlError(f"the restored backup does not answer: {error}") from None
            self.programs.look()
            time.sleep(TICK)
        said = [line for line in last_words(log).splitlines() if "FATAL:" in line or "PANIC:" in line]
        raise PostgresqlError(f"the restored backup does not start: {complaint(said[0]) if said else 'no word'}")

    @staticmethod
    def stays(process: subprocess.Popen[bytes]) -> bool:
        """Whether it goes on: one that ends closes its connections first, and its log says why."""
        try:
            process.wait(DYING)
        except subprocess.TimeoutExpired:
            return True
        return False

    def reach(self, reaches: int) -> None:
        """See that it has all that the backup had."""
        found = self.access.local_sql(REVISION, folder=self.folder)
        if found < reaches:
            raise PostgresqlError(f"the restored backup reaches {found}, expected {reaches}")

    def identify(self, system: str) -> None:
        """See that it is the cluster."""
        found = self.access.local_sql(SYSTEM, folder=self.folder)
        if found != system:
            raise PostgresqlError(f"the restored backup is of cluster {found}, expected {system}")


def compare(found: dict[str, set[int]], expected: dict[str, set[int]]) -> None:
    """Refuse what lacks a database, or a table that was there before and after the backup."""
    for name, tables in sorted(expected.items()):
        lacking = len(tables - found.get(name, set()))
        if name not in found or lacking:
            has = f"lacks {lacking} of {len(tables)} tables of the database {name}" if name in found else f"has no database {name}"
            raise PostgresqlError(f"the restored backup {has}")
