"""Three members of PostgreSQL under real Patroni daemons on loopback addresses, with TLS and passwords, and an etcd for a store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.integration.etcd_cluster import free_ports, made_once, programs
from tests.integration.postgresql_cluster import AS_POSTGRES, BIN, HBA, SCHEMA, USER, PostgresqlCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, argument_spec
from nodewise.releases import debian

PYTHON = Path("/usr/bin/python3")  # one that the servers' user may run
PATRONI = "3.3.11"
ETCD = "3.4.23"
# What provisioning makes: the file that says where the timeline came from, and no other, for whoever may not read files.
HISTORY = """
create function nodewise.timeline_history() returns text language sql stable security definer set search_path = pg_catalog as $$
  select pg_read_file('pg_wal/' || upper(lpad(to_hex(line), 8, '0')) || '.history', 0, 1048576, true)
  from (select case when pg_is_in_recovery() then (select received_tli from pg_stat_get_wal_receiver())
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end as line) current $$;
revoke execute on function nodewise.timeline_history() from public;
grant execute on function nodewise.timeline_history() to nodewise;
"""
SETTINGS: dict[str, Any] = {  # small, and quick to see changes
    "max_prepared_transactions": 5,
    "shared_buffers": "16MB",
    "fsync": "off",
    "wal_keep_size": 0,
    "min_wal_size": "32MB",
    "max_wal_size": "2GB",
    "archive_mode": "on",
    "archive_command": "true",
    "wal_receiver_status_interval": "1s",
}


def patroni(version: str = PATRONI) -> Path:
    """The folder of Patroni and what it needs, from wheels, in the cache."""
    folder = debian.cache_dir() / "tests" / f"patroni-{version}"
    with made_once(folder) as missing:
        if missing:
            wanted = [f"patroni[etcd3]=={version}", "psycopg2-binary"]
            command = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", str(folder), *wanted]
            subprocess.run(command, check=True, capture_output=True)
    return folder


class PatroniCluster(PostgresqlCluster):
    """Members n1, n2 and n3, each a Patroni that runs its PostgreSQL. `options` are those that every PostgreSQL module takes."""

    def __init__(self, names: tuple[str, ...] = ("n1", "n2", "n3"), version: str = PATRONI, **dynamic: Any) -> None:
        super().__init__(names)
        self.store = free_ports(1)[0]
        self.version, self.dynamic = version, dynamic
        self.rest_auth = self.folder / "rest"
        self.rest_auth.write_text(json.dumps({"username": "patroni", "password": self.replication}))
        self.rest_auth.chmod(0o600)

    @property
    def options(self) -> dict[str, Any]:
        """Parameters of the modules."""
        members = [
            {"name": name, "host": address, "port": self.port, "rest": f"https://{address}:8008"}
            for name, address in self.addresses.items()
        ]
        given = {"members": members, "ca": self.pki("ca.crt"), "cert": self.pki("nodes/n1.crt"), "key": self.pki("nodes/n1.key")}
        given |= {"passfile": str(self.passfile), "rest_auth": str(self.rest_auth), "bin_dir": str(BIN), "timeout": 3.0}
        return {name: given.get(name, option.get("default")) for name, option in argument_spec().items()}

    @property
    def access(self) -> Access:
        """How the modules ask."""
        return Access(self.options)

    def pki(self, name: str) -> str:
        """The path of a file of the authority."""
        return str(self.folder / "pki" / name)

    def start(self) -> None:
        """Start the store, then the first member, then the others, and wait until all stream."""
        url = f"http://127.0.0.1:{self.store}"
        words = [f"--data-dir={self.folder}/etcd", f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
        words += ["--listen-peer-urls=http://127.0.0.1:0", "--enable-v2=true"]
        with (self.folder / "etcd.log").open("ab") as log:
            self.processes["etcd"] = subprocess.Popen([str(programs(ETCD) / "etcd"), *words], stdout=log, stderr=log)
        first, *others = self.addresses
        for name in self.addresses:
            self.configure(name)
        self.run(first)
        self.until(first, "select not pg_is_in_recovery()")
        self.sql(first, SCHEMA.partition("\n")[2].partition("\n")[2].format(password=self.password))
        self.sql(first, HISTORY, "nodewise")
        for name in others:
            self.run(name)
        for name in others:
            self.until(first, f"select state = 'streaming' from pg_stat_replication where application_name = '{name}'")  # noqa: S608

    def configure(self, name: str, more: str = "", hba: str = HBA) -> None:
        """Write what a member's Patroni is started with."""
        del more
        (self.folder / f"{name}.yml").write_text(json.dumps(self.configuration(name, hba), indent=1))

    def configuration(self, name: str, hba: str) -> dict[str, Any]:
        """What a member's Patroni is started with; JSON is YAML."""
        folder, address = self.folder / name, self.addresses[name]
        tls = {"cafile": f"{folder}/ca.crt", "certfile": f"{folder}/node.crt", "keyfile": f"{folder}/node.key"}
        ssl = {
            "ssl": "on",
            **{
                f"ssl_{kind}_file": f"{folder}/{path}"
                for kind, path in (("ca", "ca.crt"), ("cert", "node.crt"), ("key", "node.key"))
            },
        }
        dynamic = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "maximum_lag_on_failover": 1048576, **self.dynamic}
        dynamic["postgresql"] = {"use_pg_rewind": False, "use_slots": True, "parameters": SETTINGS}
        return {
            "scope": "test",
            "name": name,
            "namespace": "/service/",
            "restapi": {
                "listen": f"{address}:8008",
                "connect_address": f"{address}:8008",
                **tls,
                "verify_client": "optional",
                "authentication": json.loads(self.rest_auth.read_text()),
            },
            "ctl": {**tls},
            "etcd3": {"hosts": [f"127.0.0.1:{self.store}"]},
            "bootstrap": {"dcs": dynamic, "initdb": [{"encoding": "UTF8"}, {"auth": "peer"}, "data-checksums", "no-sync"]},
            "postgresql": {
                "listen": f"{address}:{self.port}",
                "connect_address": f"{address}:{self.port}",
                "data_dir": str(self.data(name)),
                "pgpass": f"{folder}/pgpass",
                "bin_dir": str(BIN),
                "use_unix_socket": True,
                "pg_hba": hba.splitlines(),
                "create_replica_methods": ["basebackup"],
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
                "authentication": {
                    "superuser": {"username": USER, "password": self.replication, "sslmode": "require"},
                    "replication": {"username": "replicator", "password": self.replication, "sslmode": "require"},
                },
                "parameters": {"unix_socket_directories": str(folder), **ssl},
            },
        }

    def run(self, name: str) -> None:
        """Start a member's Patroni, and wait until its PostgreSQL answers."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(patroni(self.version)), "LC_ALL": "C.UTF-8"}
        with (self.folder / f"{name}.log").open("ab") as log:
            words = [str(PYTHON), "-m", "patroni", str(self.folder / f"{name}.yml")]
            options = {**AS_POSTGRES, "env": environment, "start_new_session": True}
            self.processes[name] = subprocess.Popen(words, stdout=log, stderr=log, **options)
        self.until(name, "select true", 90)  # of a busy machine

    def end(self, name: str) -> None:
        """End a member's Patroni in order, and with it its PostgreSQL."""
        self.processes[name].terminate()
        self.processes[name].wait(40)

    def signal(self, name: str, number: int) -> None:
        """Send a member's Patroni a signal, and not its PostgreSQL."""
        self.processes[name].send_signal(number)

    def stop(self) -> None:
        """End all, and remove everything."""
        for name in self.addresses:
            if name in self.processes:
                self.kill(name)
        super().stop()

    @staticmethod
    def end_server(pid: int) -> None:
        """Have a server end at once, and wait for it."""
        try:
            while True:
                os.kill(pid, signal.SIGQUIT)
                time.sleep(0.05)
        except ProcessLookupError:
            return

    def certify_by(self, other: PostgresqlCluster) -> None:
        """Have the authority of another cluster, so that members of both may be asked at once."""
        shutil.rmtree(self.folder / "pki")
        shutil.copytree(other.folder / "pki", self.folder / "pki")
        for name, address in self.addresses.items():
            shutil.rmtree(self.folder / name)
            self.certify(name, address)

    def remake(self, name: str) -> None:
        """Give a member its data anew."""
        self.kill(name)
        shutil.rmtree(self.data(name), ignore_errors=True)
        self.run(name)

    def kill(self, name: str) -> None:
        """End a member's Patroni and its PostgreSQL at once."""
        self.signal(name, signal.SIGCONT)
        self.signal(name, signal.SIGKILL)
        process = self.processes.pop(name)
        process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever it was having made
        pid = self.data(name) / "postmaster.pid"
        if pid.exists():
            self.end_server(int(pid.read_text().split()[0]))

    def ask(self, name: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Tell a member's Patroni something; it must agree."""
        status, said = self.access.rest(self.access.member(name), method, path, body, 30)
        assert status in (200, 202), f"{status} {said}"
        return said

    def dynamic_settings(self, **change: Any) -> None:
        """Change the configuration that all members share."""
        self.ask(next(iter(self.addresses)), "PATCH", "/config", change)

    def tag(self, name: str, **tags: Any) -> None:
        """Give a member tags."""
        self.own_settings(name, {"tags": tags})

    def own_settings(self, name: str, change: dict[str, Any]) -> None:
        """Change a member's own file, and have its Patroni read that."""
        path = self.folder / f"{name}.yml"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        self.signal(name, signal.SIGHUP)
        self.dynamic_settings(wake=None)  # has members look now
