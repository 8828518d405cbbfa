"""Where members are reached, out of the inventory."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.filter.etcd import etcd_initial_cluster, etcd_members


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ({}, "https://n1:2379"),
        ({"ansible_host": "10.0.0.1"}, "https://10.0.0.1:2379"),
        ({"ansible_host": "203.0.113.1", "nodewise_address": "10.0.0.1"}, "https://10.0.0.1:2379"),
        ({"nodewise_address": "fd00::1"}, "https://[fd00::1]:2379"),
        ({"ansible_host": "10.0.0.1", "nodewise_client_url": "http://10.0.0.1:4001"}, "http://10.0.0.1:4001"),
    ],
)
def test_the_clients_url_is_told_or_follows_from_the_address(host: dict[str, Any], url: str) -> None:
    """What the user says wins over the address of the cluster's network, and that over the one for SSH."""
    assert [{"name": "n1", "url": url}] == etcd_members(["n1"], {"n1": {"inventory_hostname": "n1", **host}})


def test_the_initial_cluster_names_all_peers() -> None:
    """Every member stands in it, with the port of peers."""
    hosts = {name: {"inventory_hostname": name} for name in ("n1", "n2")}
    assert etcd_initial_cluster(["n1", "n2"], hosts) == "n1=https://n1:2380,n2=https://n2:2380"
