"""A cluster that somebody else set up is upgraded as it stands: with users, in plain text, without a gateway, at two URLs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.cluster import Ended, until
from tests.system.etcd_cluster import NEW, OLD, START, STOP, Cluster, made

PASSWORD = "p: ss'w\"ö$rd"  # noqa: S105  (as odd as they get)
USER = f"ETCDCTL_USER={shlex.quote(f'root:{PASSWORD}')} "
ETCDCTL = "ETCDCTL_API=3 /opt/nodewise/etcd/current/bin/etcdctl --endpoints http://$(hostname):2379 "
# Plain text for clients and peers, and no gateway, as the configuration files of 3.4 have it when they do not ask for one.
PLAIN = """cd /etc/nodewise/etcd && sed -i 's|https://|http://|g; /transport-security:/,$d; /grpc-gateway/d' etcd.yml
rm -rf /var/lib/nodewise/etcd/member ca.crt node.crt node.key"""
TWO_URLS = "http://{{ nodewise_address | default(ansible_host) }}:1,http://{{ nodewise_address | default(ansible_host) }}:2379"


@pytest.fixture(scope="module")
def cluster(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:  # noqa: ARG001  (in that home)
    """Three members, which each test sets up otherwise."""
    with made(tmp_path_factory.mktemp("runs")) as three:
        yield three


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words that give ansible-playbook the password, which is in a vault."""
    folder = tmp_path_factory.mktemp("vault")
    key, values = folder / "key", folder / "vault.yml"
    key.write_text("key of the vault")
    values.write_text(json.dumps({"nodewise_etcd_password": PASSWORD}))
    program = Path(sys.executable).with_name("ansible-vault")
    subprocess.run([program, "encrypt", "--vault-password-file", key, values], check=True, capture_output=True)
    return ["-vvv", "--vault-password-file", str(key), "-e", f"@{values}"]


def with_users(cluster: Cluster, etcdctl: str) -> None:
    """Turn etcd's authentication on."""
    for words in (f"user add {shlex.quote(f'root:{PASSWORD}')}", "user grant-role root root", "auth enable"):
        cluster.root(cluster.names[0], etcdctl + words)


def kept_secret(ended: Ended) -> bool:
    """Whether the password stands neither on the terminal nor in the record."""
    forms = [PASSWORD, json.dumps(PASSWORD)[1:-1], json.dumps(PASSWORD, ensure_ascii=False)[1:-1]]
    texts = [ended.said, *(path.read_text(errors="replace") for path in ended.folder.rglob("*") if path.is_file())]
    return not any(form in text for form in forms for text in texts)


@pytest.mark.slow
def test_users_over_tls(cluster: Cluster, vault: list[str]) -> None:
    """With a user's password from the vault it is backed up, upgraded, and passes its suite; nobody is shown it."""
    etcdctl = f"cd /etc/nodewise/etcd; {USER} {ETCDCTL.replace('http:', 'https:')} --cacert ca.crt --cert node.crt --key node.key "
    with_users(cluster, etcdctl)
    refused = cluster.refuse()
    assert "its authentication is on, and whom the node's certificate names may not: name a user" in refused
    ended = cluster.upgrade(*vault, nodewise_etcd_user="root", nodewise_suite="etcd", nodewise_soak=5)
    assert ("upgraded", 0) == (ended.outcome, ended.code), ended.said
    said = cluster.everywhere(f"{etcdctl} endpoint status --write-out json")
    assert {NEW} == {json.loads(one)[0]["Status"]["version"] for one in said.values()}
    assert kept_secret(ended)


@pytest.mark.slow
def test_plain_text_without_a_gateway_with_users_at_two_urls(cluster: Cluster, vault: list[str]) -> None:
    """All of it at once: observed, and upgraded with the canary watched; what was written before is there."""
    for line in (STOP, PLAIN, f"ln -sfn releases/{OLD} /opt/nodewise/etcd/current; rm -f /opt/nodewise/etcd/state.json", START):
        cluster.everywhere(line)
    until(lambda: "is healthy" in cluster.root(cluster.names[0], f"{ETCDCTL} endpoint health 2>&1 || true"))
    cluster.root(cluster.names[0], f"{ETCDCTL} put kept value")
    with_users(cluster, USER + ETCDCTL)
    ended = cluster.upgrade(*vault, nodewise_etcd_user="root", nodewise_client_url=TWO_URLS, nodewise_soak=5)
    assert ("upgraded", 0) == (ended.outcome, ended.code), ended.said
    assert "kept\nvalue" == cluster.root(cluster.names[1], f"{USER}{ETCDCTL} get kept")
    soaked = [record["sample"] for record in ended.journal("note", "end") if record.get("name") == "soak"]
    assert [(True, 0)] == [(one["probe"]["count"] > 0, one["probe"]["failed"]) for one in soaked]
    assert kept_secret(ended)
