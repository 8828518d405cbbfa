"""What the role left on the nodes, as it should be: also what the user asked for."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from nodewise.testnet.state import Testnet

CONFIG = "/etc/nodewise/postgresql"
BIN = "/usr/lib/postgresql/15/bin"
CLIENT = f"user=nodewise dbname=nodewise sslrootcert={CONFIG}/ca.crt passfile={CONFIG}/pgpass"


def superuser(host: Host, statement: str) -> str:
    """What the node's own PostgreSQL answers the superuser."""
    return host.check_output(f"runuser -u postgres -- {BIN}/psql -XAtc {json.dumps(statement)}")


def test_the_member_runs_now_and_at_boot(host: Host) -> None:
    """The unit is active and enabled, and no cluster of the package's own was made."""
    unit = host.service("patroni")
    assert (unit.is_running, unit.is_enabled) == (True, True)
    assert not host.file("/var/lib/postgresql/15").exists


def test_the_packages_are_held_at_their_version(host: Host) -> None:
    """Nothing but Nodewise moves them."""
    assert host.package("postgresql-15").version.startswith("15.18-")
    assert {"postgresql-15", "postgresql-client-15"} <= set(host.check_output("apt-mark showhold").split())


def test_both_releases_are_linked(host: Host) -> None:
    """What runs is what the links say."""
    assert host.file("/opt/nodewise/postgresql/current").linked_to == "/opt/nodewise/postgresql/releases/15.18"
    patroni = host.file("/opt/nodewise/patroni/current").linked_to
    assert host.check_output("/opt/nodewise/patroni/patronictl version").split()[-1] == patroni.rpartition("/")[2]


def test_secrets_are_for_those_who_need_them(host: Host) -> None:
    """Nobody else reads keys, passwords or data."""
    for path, user in {
        "node.key": "postgres",
        "store.key": "postgres",
        "patroni.d/10-node.yml": "postgres",
        "pgpass": "root",
        "rest": "root",
    }.items():
        assert (0o600, user) == (host.file(f"{CONFIG}/{path}").mode, host.file(f"{CONFIG}/{path}").user), path
    assert (0o700, "postgres") == (host.file("/var/lib/nodewise/postgresql").mode, host.file("/var/lib/nodewise/postgresql").user)


def test_data_is_checked_and_can_be_rewound(host: Host) -> None:
    """Checksums are on, and what the user asked for is so on every member."""
    names = ("data_checksums", "wal_log_hints", "ssl", "password_encryption", "work_mem")
    assert ["on", "on", "on", "scram-sha-256", "5MB"] == [superuser(host, f"show {name}") for name in names]


def test_patroni_keeps_what_the_user_asked_for(host: Host) -> None:
    """The cluster is synchronous, and goes on when its store is away."""
    kept = host.check_output("/opt/nodewise/patroni/patronictl show-config").splitlines()
    assert {"synchronous_mode: true", "failsafe_mode: true", "ttl: 20"} <= set(kept)


def test_clients_follow_the_primary(host: Host, net: Testnet) -> None:
    """The service file leads to the one member that takes writes, from any node."""
    psql = f"env PGSERVICEFILE={CONFIG}/pg_service.conf {BIN}/psql -XAtw"
    assert host.check_output(f"{psql} 'service={net.name} {CLIENT}' -c 'select pg_is_in_recovery()'") == "f"
    assert host.check_output(f"{psql} 'service={net.name}-read {CLIENT}' -c 'select pg_is_in_recovery()'") == "t"


@pytest.mark.parametrize(
    ("client", "says"),
    [
        (f"{CLIENT} sslmode=disable", "no pg_hba.conf entry"),
        (f"{CLIENT} passfile=/dev/null password=wrong sslmode=require", "password authentication failed"),
        (f"{CLIENT} user=postgres password=wrong sslmode=require", "password authentication failed"),
    ],
)
def test_nobody_comes_in_without_tls_and_the_password(host: Host, net: Testnet, client: str, says: str) -> None:
    """Each is refused for what it lacks."""
    hosts = ",".join(node.address for node in net.nodes)
    found = host.run(f"{BIN}/psql -Xw 'host={hosts} {client}' -c 'select 1'")
    assert found.rc != 0
    assert says in found.stderr


def test_the_unit_is_sandboxed(host: Host) -> None:
    """By its own figures systemd calls the unit's exposure low: below 2 of 10."""
    line = host.check_output("systemd-analyze security patroni --no-pager | tail -1")
    assert float(line.split(":")[1].split()[0]) < 2.0
