"""A real PostgreSQL primary with two streaming replicas on loopback addresses of their own, with TLS and passwords; no Patroni."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.integration.etcd_cluster import free_ports

from nodewise import pki

BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/lib/postgresql/none/bin"))
USER = "postgres"
CLEAN = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}  # libpq looks for certificates in a home
AS_POSTGRES: dict[str, Any] = {"env": CLEAN, "cwd": "/", "user": USER, "group": USER, "extra_groups": []}
HBA = """local all postgres peer
local replication postgres peer
hostssl all all all scram-sha-256
hostssl replication replicator all scram-sha-256
"""
SETTINGS = """port = {port}
listen_addresses = '{address}'
unix_socket_directories = '{folder}'
ssl = on
ssl_ca_file = '{folder}/ca.crt'
ssl_cert_file = '{folder}/node.crt'
ssl_key_file = '{folder}/node.key'
hot_standby = on
wal_level = replica
wal_keep_size = 64MB
max_prepared_transactions = 5
shared_buffers = 16MB
fsync = off
"""
SCHEMA = """
create role replicator login replication password '{replication}';
create role nodewise login password '{password}';
grant pg_monitor, pg_read_all_data, pg_signal_backend to nodewise;
create database nodewise owner nodewise;
\\connect nodewise
set role nodewise;
create schema nodewise;
create table nodewise.sentinel (
  id bigint generated always as identity primary key, run text, node text, word text, at timestamptz default now()
);
"""


class PostgresqlCluster:
    """Members n1 (the primary), n2 and n3. What they have lies below `folder`, which anybody may enter: servers run as postgres."""

    def __init__(self, names: tuple[str, ...] = ("n1", "n2", "n3")) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self.folder.chmod(0o755)
        net = secrets.randbelow(250) + 2
        self.addresses = {name: f"127.{net}.0.{number}" for number, name in enumerate(names, 2)}
        (self.port,) = free_ports(1)
        self.password, self.replication = secrets.token_hex(8), secrets.token_hex(8)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.passfile = self.folder / "pgpass"
        self.passfile.write_text(f"*:*:*:nodewise:{self.password}\n")
        self.passfile.chmod(0o600)
        for name, address in self.addresses.items():
            self.certify(name, address)

    def certify(self, name: str, address: str) -> None:
        """Give a member a folder with its certificate."""
        pki.node(self.folder / "pki", "test", name, [address])
        (self.folder / name).mkdir()
        for file in ("ca.crt", f"nodes/{name}.crt", f"nodes/{name}.key"):
            copy = self.folder / name / file.replace(f"nodes/{name}", "node")
            shutil.copy(self.folder / "pki" / file, copy)
            copy.chmod(0o600)
            shutil.chown(copy, USER, USER)
        shutil.chown(self.folder / name, USER, USER)

    def start(self) -> None:
        """Make all members and wait until the replicas stream."""
        first, *others = self.addresses
        self.program("initdb", "-k", "-U", USER, "-A", "peer", "-N", "-D", self.data(first))
        self.configure(first)
        self.run(first)
        self.sql(first, SCHEMA.format(password=self.password, replication=self.replication))
        for name in others:
            self.program("pg_basebackup", "-c", "fast", "-N", "-D", self.data(name), *self.local(first))
            server = f"host={self.addresses[first]} port={self.port} sslmode=require"
            client = f"user=replicator password={self.replication} application_name={name}"
            (self.data(name) / "standby.signal").touch()
            self.configure(name, f"primary_conninfo = '{server} {client}'\n")
            self.run(name)
        for name in others:
            self.until(first, f"select state = 'streaming' from pg_stat_replication where application_name = '{name}'")  # noqa: S608

    def configure(self, name: str, more: str = "", hba: str = HBA) -> None:
        """Write a member's configuration."""
        own = SETTINGS.format(port=self.port, address=self.addresses[name], folder=self.folder / name)
        (self.data(name) / "postgresql.conf").write_text(own + more)
        (self.data(name) / "pg_hba.conf").write_text(hba)

    def run(self, name: str) -> None:
        """Start a member and wait until it answers."""
        with (self.folder / f"{name}.log").open("ab") as log:
            words = [str(BIN / "postgres"), "-D", str(self.data(name))]
            self.processes[name] = subprocess.Popen(words, stdout=log, stderr=log, **AS_POSTGRES)
        self.until(name, "select true")

    def end(self, name: str) -> None:
        """End a member in order."""
        self.processes[name].send_signal(signal.SIGINT)
        self.processes[name].wait(20)

    def stop(self) -> None:
        """End all, and remove everything."""
        for process in self.processes.values():
            process.send_signal(signal.SIGQUIT)
            process.wait(20)
        shutil.rmtree(self.folder)

    def data(self, name: str) -> Path:
        """A member's data."""
        return self.folder / name / "data"

    def local(self, name: str) -> list[str]:
        """How programs reach a member through its socket, as the superuser."""
        return ["-h", str(self.folder / name), "-p", str(self.port), "-U", USER]

    def program(self, name: str, *words: str | Path) -> str:
        """Run one of PostgreSQL's programs as its user."""
        return as_postgres([str(BIN / name), *map(str, words)])

    def sql(self, name: str, statements: str, database: str = USER) -> str:
        """Run statements on a member as the superuser."""
        command = [str(BIN / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", *self.local(name), "-d", database]
        return as_postgres(command, statements).strip()

    def until(self, name: str, statement: str, seconds: float = 20) -> None:
        """Wait until a statement is true on a member."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.sql(name, statement) == "t":
                    return
            except AssertionError:
                pass
            assert time.monotonic() < deadline, (self.folder / f"{name}.log").read_text()[-2000:]
            time.sleep(0.1)

    def log(self, name: str) -> str:
        """What a member logged."""
        return (self.folder / f"{name}.log").read_text()


def as_postgres(command: list[str], text: str = "") -> str:
    """Run a command as the user of PostgreSQL, and return what it printed."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, **AS_POSTGRES)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout
