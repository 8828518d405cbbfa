"""The primary of a service's database fails over while a backfill runs: PostgreSQL with Patroni beside the service."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodewise.testnet import inventory
from tests.orders import NEW, OLD, release
from tests.simulation.schema_days import begun, counted, done, filling, scanned, troubled
from tests.simulation.test_postgresql_bad_days import DIE, LIVE, synchronous
from tests.system import postgresql_cluster
from tests.system.cluster import until
from tests.system.orders_cluster import PASSWORD, ROWS, Orders, described, fill

pytestmark = pytest.mark.slow

PACKAGES = "export DEBIAN_FRONTEND=noninteractive; apt-get update -qq >&2; apt-get install -yqq alembic python3-psycopg2 >&2"

ROLE = [
    f"create role orders login password '{PASSWORD}'",
    "grant pg_monitor to orders",
    "create database orders owner orders",
]


class Replicated(Orders):
    """The service, with an inventory of its own beside that of its database."""

    database: postgresql_cluster.Cluster

    @property
    def url(self) -> str:
        """Of whichever member is primary."""
        hosts = ",".join(node.address for node in self.net.nodes)
        return f"postgresql://orders@{hosts}/orders?target_session_attrs=read-write"

    def command(self, playbook: str, *words: str, **variables: Any) -> tuple[list[str], dict[str, str], Path]:
        """The words and the environment of ansible-playbook, and the folder for the run's record."""
        return super().command(playbook, "-i", str(self.runs / "inventory.yml"), *words, **variables)

    def schema(self, **more: Any) -> dict[str, Any]:
        """`nodewise_schema`."""
        return super().schema(**{"database": self.url, **more})

    def sql(self, statement: str) -> str:
        """On the primary."""
        return self.database.sql(self.database.leader(), statement, "orders")

    def describe(self, releases: dict[str, Any]) -> None:
        """Write the inventory."""
        variables = described(releases)
        variables["nodewise_app"]["environment"] = {"DATABASE": self.url}
        own = dataclasses.replace(self.net, system=None, version=None, variables=variables)
        (self.runs / "inventory.yml").write_text(json.dumps({"all": {"children": inventory.tree([own])}}))


@pytest.fixture
def orders(testnet_home: Path, tmp_path: Path) -> Iterator[Replicated]:  # noqa: ARG001  (in that home)
    """Three members on 1.0.0, on the nodes of a PostgreSQL cluster that loses no row that it acknowledged."""
    for name in ("releases", "runs", "database"):
        (tmp_path / name).mkdir()
    with postgresql_cluster.made(tmp_path / "database", nodewise_patroni=postgresql_cluster.QUICK) as database:
        three = Replicated(database.net, tmp_path / "runs")
        three.database = database
        for statement in ROLE:
            database.sql(database.leader(), statement)
        three.everywhere(PACKAGES)
        three.describe({version: release(tmp_path / "releases", version, of) for version, of in (("1.0.0", OLD), ("1.1.0", NEW))})
        ended = three.play("provision", nodewise_schema=three.schema())
        assert 0 == ended.code, ended.said
        fill(three)
        with synchronous(database):
            yield three


def test_the_primary_fails_over_in_the_backfill(orders: Replicated) -> None:
    """The backfill goes on at the new primary, where it was: nothing is done twice, nothing is left out."""
    database = orders.database
    with troubled(orders, "the primary fails over in the backfill", refuses=True) as day, counted(orders):
        began, running = time.monotonic(), orders.start(**filling(orders, 5_000))
        begun(running, "backfill")
        until(lambda: scanned(orders, ROWS // 2))
        leader = database.leader()
        others = [name for name in database.names if name != leader]
        database.root(leader, DIE)
        until(lambda: 1 == sum(database.sql(name, "select pg_is_in_recovery()") == "f" for name in others))
        database.root(leader, LIVE)
        postgresql_cluster.healthy(database, 120)
        day.ended(running.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(orders.names, 1)
    done(orders)
