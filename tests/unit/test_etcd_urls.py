"""Where members are reached, out of the inventory."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.filter.etcd import etcd_initial_cluster, etcd_members, etcd_probe


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ({}, "https://n1:2379"),
        ({"ansible_host": "10.0.0.1"}, "https://10.0.0.1:2379"),
        ({"ansible_host": "203.0.113.1", "nodewise_address": "10.0.0.1"}, "https://10.0.0.1:2379"),
        ({"nodewise_address": "fd00::1"}, "https://[fd00::1]:2379"),
        ({"ansible_host": "10.0.0.1", "nodewise_client_url": "http://10.0.0.1:4001"}, "http://10.0.0.1:4001"),
        ({"nodewise_client_url": ["https://10.0.0.1:2379", "https://n1:2379"]}, "https://10.0.0.1:2379,https://n1:2379"),
        ({"nodewise_client_url": "https://10.0.0.1:2379, https://n1:2379"}, "https://10.0.0.1:2379,https://n1:2379"),
    ],
)
def test_the_clients_url_is_told_or_follows_from_the_address(host: dict[str, Any], url: str) -> None:
    """What the user says wins over the address of the cluster's network, and that over the one for SSH."""
    assert [{"name": "n1", "url": url}] == etcd_members(["n1"], {"n1": {"inventory_hostname": "n1", **host}})


def test_the_initial_cluster_names_all_peers() -> None:
    """Every member stands in it, with the port of peers."""
    hosts = {name: {"inventory_hostname": name} for name in ("n1", "n2")}
    assert etcd_initial_cluster(["n1", "n2"], hosts) == "n1=https://n1:2380,n2=https://n2:2380"


def test_a_peer_with_several_urls_stands_in_the_initial_cluster_with_each() -> None:
    """Etcd wants the name once for each."""
    hosts = {"n1": {"inventory_hostname": "n1", "nodewise_peer_url": ["https://10.0.0.1:2380", "https://n1:2380"]}}
    assert etcd_initial_cluster(["n1"], hosts) == "n1=https://10.0.0.1:2380,n1=https://n1:2380"


@pytest.mark.parametrize(
    ("url", "request_url", "files"),
    [
        ("https://10.0.0.1:2379", "https://10.0.0.1:2379", ["--cacert", "/ca", "--cert", "/cert"]),
        ("http://10.0.0.1:2379", "http://10.0.0.1:2379", []),
        ("https://10.0.0.1:2379,https://n1:2379", None, ["--cacert", "/ca", "--cert", "/cert"]),
    ],
)
def test_a_member_is_probed_by_its_gateway_and_by_etcdctl_where_that_refuses(
    url: str, request_url: str | None, files: list[str]
) -> None:
    """Files are named for TLS alone, the password stands in no word, and several URLs are etcdctl's to try."""
    access = {"members": [{"name": "n1", "url": url}], "ca": "/ca", "cert": "/cert", "key": "", "etcdctl": "/etcdctl"}
    made = etcd_probe({**access, "user": "root", "password": "hidden"}, "n1")
    assert request_url == (made["request"] or {}).get("url")
    assert files == made["probe"][len(made["probe"]) - len(files) :]
    assert {"ETCDCTL_USER": "root:hidden"} == made["secrets"]
    assert "hidden" not in " ".join(made["probe"])
