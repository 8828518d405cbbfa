# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service of orders on a testnet, with its database on the first node, and a client that reads what it wrote."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.orders import NEW, OLD, release
from tests.system.app_cluster import Described, Requests, made
from tests.system.cluster import Ended

ROWS = 100_000
URL = "postgresql://orders@database/orders"
PASSWORD = "correct-horse-battery"  # noqa: S105  (of a testnet)
ALEMBIC = "/usr/bin/alembic -c alembic.ini upgrade"
DATABASE = f"""
set -e
echo ADDRESS database >>/etc/hosts
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
apt-get install -yqq postgresql-client alembic python3-psycopg2 >&2
[ "$(hostname)" = HOST ] || exit 0
apt-get install -yqq postgresql >&2
printf "listen_addresses = '*'\\n" >/etc/postgresql/15/main/conf.d/all.conf
echo 'host orders all 0.0.0.0/0 scram-sha-256' >>/etc/postgresql/15/main/pg_hba.conf
systemctl restart postgresql
cd /
runuser -u postgres -- psql -qc "create role orders login password '{PASSWORD}'"
runuser -u postgres -- psql -qc "create role report login password '{PASSWORD}'"
runuser -u postgres -- psql -qc 'create database orders owner orders'
"""


class Orders(Described):
    """The service."""

    unit: ClassVar[str] = "orders"
    old: ClassVar[str] = "1.0.0"
    new: ClassVar[str] = "1.1.0"

    def version(self, node: str) -> str:
        """What the process says."""
        return str(json.loads(self.get(node, 8080, "/version"))["version"])

    def serves(self, node: str) -> bool:
        """Whether a member answers, and its database."""
        return read(f"http://{self.net.node(node).address}:8080/get/1") is not None

    def schema(self, **more: Any) -> dict[str, Any]:
        """`nodewise_schema`."""
        return {
            "database": URL,
            "password": "vault_orders",
            "expand": f"{ALEMBIC} expand@head",
            "contract": f"{ALEMBIC} contract@head",
            "backfill": {
                "table": "orders",
                "key": "id",
                "set": {"first": "split_part(name, ' ', 1)", "last": "split_part(name, ' ', 2)"},
                "where": "first is null",
            },
            "check": "select not exists (select from orders where first is null)",
            "readable": "select not exists (select from orders where name is null)",
            **more,
        }

    def given(self, to: str | None = None, **variables: Any) -> dict[str, Any]:
        """With the schema."""
        return super().given(to, **{"nodewise_schema": self.schema(), **variables})

    def typed(self, line: str, *words: str) -> Ended:
        """What is masked, as it is called a password, is filled in again."""
        return super().typed(line.replace("…", "vault_orders"), *words)

    def sql(self, statement: str) -> str:
        """As the superuser."""
        return self.root(self.names[0], f"cd /; runuser -u postgres -- psql -XAtq orders -c {json.dumps(statement)}")


class Client(Requests):
    """Adds an order through one member and reads it through another; the next one is asked where one does not answer."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__(urls)
        self.added: dict[str, str] = {}

    def _run(self) -> None:
        for number in itertools.count():
            if self._end.wait(0.05):
                return
            name = f"a{number} b{number}"
            made = self._first(number, f"/add/{name.replace(' ', '+')}")
            if made is not None:
                self.added[made] = name
            if made is None or self._first(number + 1, f"/get/{made}") != name:
                self.bad.append(name)
            else:
                self.good += 1

    def _first(self, number: int, path: str) -> str | None:
        for at in range(4 * len(self.urls)):
            answer = read(self.urls[(number + at) % len(self.urls)] + path)
            if answer is not None:
                return answer
            self._end.wait(0.1)
        return None


def read(url: str) -> str | None:
    """What is answered; None where nothing good is."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (http)
            return str(answer.read().decode())
    except OSError:
        return None


def described(releases: dict[str, Any]) -> dict[str, Any]:
    """The variables of the service."""
    page = {"http": {"port": 8080, "path": "/version"}}
    app = {
        "name": "orders",
        "command": "{bin}/orders 8080",
        "ready": {"http": {"port": 8080, "path": "/health"}},
        "version": {**page, "value": "version"},
        "started": {**page, "value": "started"},
        "environment": {"DATABASE": URL},
        "secrets": {"PGPASSWORD": "vault_orders"},
        "releases": releases,
    }
    return {"nodewise_system": "app", "nodewise_version": "1.0.0", "nodewise_app": app, "vault_orders": PASSWORD}


@contextmanager
def orders_of(releases: Path, runs: Path) -> Iterator[Orders]:
    """Three members on 1.0.0, and a database with its schema and rows."""
    variables = described({"1.0.0": release(releases, "1.0.0", OLD), "1.1.0": release(releases, "1.1.0", NEW)})
    with made(Orders, runs, variables) as three:
        three.everywhere(DATABASE.replace("HOST", three.names[0]).replace("ADDRESS", three.net.nodes[0].address))
        ended = three.play("provision", nodewise_schema=three.schema())
        assert 0 == ended.code, ended.said
        fill(three)
        yield three


def fill(orders: Orders) -> None:
    """Have rows."""
    orders.sql(f"insert into orders (name) select 'a' || i || ' b' || i from generate_series(1, {ROWS}) i; analyze orders")  # noqa: S608  (ours)


def asked(orders: Orders) -> list[str]:
    """The URLs of all members."""
    return [f"http://{node.address}:8080" for node in orders.net.nodes]


COLUMNS = "select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = 'orders'::regclass and attnum > 0"
LIVE = f"{COLUMNS} and not attisdropped"


def revisions(orders: Orders) -> str:
    """What the database says."""
    return orders.sql("select string_agg(version_num, ' ' order by version_num) from alembic_version")


def reason(ended: Ended) -> str:
    """Why a run ended as it did."""
    return str(ended.summary["reason"])
