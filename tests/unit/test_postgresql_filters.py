"""What PostgreSQL's configuration is made of, out of the inventory."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.filter.postgresql import (
    postgresql_dcs_hosts,
    postgresql_dcs_pki_dir,
    postgresql_hba,
    postgresql_members,
    postgresql_packages,
    postgresql_passfile,
)


@pytest.mark.parametrize(
    ("host", "address", "rest"),
    [
        ({}, "n1", "https://n1:8008"),
        ({"ansible_host": "10.0.0.1"}, "10.0.0.1", "https://10.0.0.1:8008"),
        ({"ansible_host": "203.0.113.1", "nodewise_address": "10.0.0.1"}, "10.0.0.1", "https://10.0.0.1:8008"),
        ({"nodewise_address": "fd00::1"}, "fd00::1", "https://[fd00::1]:8008"),
        ({"ansible_host": "10.0.0.1", "nodewise_rest_url": "http://10.0.0.1:80"}, "10.0.0.1", "http://10.0.0.1:80"),
    ],
)
def test_a_members_address_is_told_or_follows_from_the_host(host: dict[str, Any], address: str, rest: str) -> None:
    """What the user says wins over the address of the cluster's network, and that over the one for SSH."""
    expected = [{"name": "n1", "host": address, "port": 5433, "rest": rest}]
    assert expected == postgresql_members(["n1"], {"n1": {"inventory_hostname": "n1", **host}}, "5433")  # type: ignore[arg-type]


def test_nobody_comes_in_without_tls_and_a_password() -> None:
    """But the superuser on the node itself, who is refused from everywhere but the members; what the user adds comes last."""
    lines = postgresql_hba(
        [{"host": "10.0.0.1"}, {"host": "fd00::1"}, {"host": "db.example.net"}], ["hostssl app app 10.9.0.0/16 cert"]
    )
    ours, refusal, theirs = lines[:-2], lines[-2], lines[-1]
    assert all(line.endswith("scram-sha-256") for line in ours if not line.startswith("local"))
    assert all(line.split()[0] in ("local", "hostssl") for line in ours)
    assert ["postgres"] * 2 == [line.split()[2] for line in ours if line.endswith("peer")]
    assert {"10.0.0.1/32", "fd00::1/128", "db.example.net"} == {line.split()[3] for line in ours if line.startswith("hostssl")}
    assert ("host all postgres all reject", "hostssl app app 10.9.0.0/16 cert") == (refusal, theirs)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("15.18", ["postgresql-15=15.18", "postgresql-client-15=15.18"]),
        ("15", ["postgresql-15", "postgresql-client-15"]),
        ("", []),
    ],
)
def test_packages_are_those_of_the_major(version: str, expected: list[str]) -> None:
    """A whole version is asked for exactly; a major alone in whichever version there is."""
    assert expected == postgresql_packages(version)


def test_a_password_file_takes_any_password() -> None:
    """What separates its fields is escaped."""
    assert "*:*:*:nodewise:a\\:b\\\\c\n" == postgresql_passfile("nodewise", "a:b\\c")


def test_the_store_is_found_through_its_hosts() -> None:
    """Where its members listen, and where its authority is: told by its hosts, else where its role would put it."""
    hosts = {"e1": {"inventory_hostname": "e1"}, "e2": {"inventory_hostname": "e2"}}
    hosts["e2"] |= {"nodewise_client_url": "https://10.0.0.2:4001/", "nodewise_pki_dir": "/pki"}
    assert ["e1:2379", "10.0.0.2:4001"] == postgresql_dcs_hosts(["e1", "e2"], hosts)
    assert "/inventory/pki/store" == postgresql_dcs_pki_dir(["e1", "e2"], hosts, "/inventory", "store")
    assert "/pki" == postgresql_dcs_pki_dir(["e2", "e1"], hosts, "/inventory", "store")
