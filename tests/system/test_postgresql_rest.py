"""A cluster whose Patronis ask for client certificates, and whose password stands in Patroni's own file alone, is upgraded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.postgresql_cluster import NEW, healthy, made

pytestmark = pytest.mark.slow  # a cluster and an upgrade of its own

OWN = "/etc/nodewise/postgresql/patroni.d/10-node.yml"
REQUIRED = """cd /etc/nodewise/postgresql && rm rest && echo 'restapi: {verify_client: required}' >patroni.d/20-rest.yml
chown postgres: patroni.d/20-rest.yml && systemctl restart patroni"""


def test_client_certificates(testnet_home: Path, tmp_path: Path) -> None:  # noqa: ARG001  (in that home)
    """It is refused without the password, and upgraded with it, the primary handed over and the suites passed."""
    with made(tmp_path) as cluster:
        for node in cluster.names:
            cluster.root(node, REQUIRED)
            healthy(cluster)
        assert "takes no changes from the nodes" in cluster.refuse()
        ended = cluster.upgrade(nodewise_rest_auth=OWN, nodewise_suite="postgresql")
        assert "upgraded" == ended.outcome, ended.said
        assert {NEW} == cluster.versions()
        assert 0 == ended.summary["smoke"]["failed"]
