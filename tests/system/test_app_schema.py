# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service whose releases change the schema of its database, on a testnet, under requests: the tests go in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.orders import NEW, release
from tests.system.orders_cluster import LIVE, PASSWORD, URL, Client, Orders, asked, orders_of, reason, revisions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def orders(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orders]:  # noqa: ARG001  (in that home)
    """Three members on 1.0.0, and a database with its schema and rows."""
    with orders_of(tmp_path_factory.mktemp("releases"), tmp_path_factory.mktemp("runs")) as three:
        yield three


def test_a_new_service(orders: Orders) -> None:
    """Its schema was made before it was started."""
    assert ("c1 e1", "id name") == (revisions(orders), orders.sql(LIVE))


def test_what_is_refused(orders: Orders, tmp_path: Path) -> None:
    """A release that drops before every member runs it, by the statement; with --check nothing of it is on a node afterwards."""
    bad = release(tmp_path, "1.1.0", {**NEW, "e3": ("e2", None, None, "drop table orders")})
    starts, look = orders.starts(), "ls -d /opt/nodewise/orders/releases/* /tmp/*nodewise-schema* 2>/dev/null || true"
    before = orders.everywhere(look)
    ended = orders.upgrade("--check")
    assert "planned" == ended.outcome, ended.said
    for words in (["--check"], []):
        ended = orders.upgrade(*words, nodewise_releases={"1.1.0": bad})
        assert "refused" == ended.outcome, ended.said
        assert "e3 takes away what running members may need [ban-drop-table]: drop table orders;" in reason(ended)
        assert ("c1 e1", starts) == (revisions(orders), orders.starts())
        assert not words or before == orders.everywhere(look)


POOLER = f"""
set -e
DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends pgbouncer >&2
cat >/etc/pgbouncer/pgbouncer.ini <<END
[databases]
orders = host=127.0.0.1
[pgbouncer]
listen_addr = *
listen_port = 6432
pool_mode = transaction
auth_type = plain
auth_file = /etc/pgbouncer/userlist.txt
ignore_startup_parameters = options
END
echo '"orders" "{PASSWORD}"' >/etc/pgbouncer/userlist.txt
systemctl restart pgbouncer
"""


def test_a_pooler_of_transactions(orders: Orders) -> None:
    """Nothing holds through it, so nothing is changed through it; and it has no lock of ours afterwards."""
    orders.root(orders.names[0], POOLER)
    pooled = orders.schema(database=URL.replace("@database", "@database:6432"))
    ended = orders.upgrade(nodewise_schema=pooled)
    assert "this is a pooler that gives a server to each transaction" in reason(ended), ended.said
    assert ("c1 e1", "0") == (revisions(orders), orders.sql("select count(*) from pg_locks where locktype = 'advisory'"))
    orders.root(orders.names[0], "systemctl stop pgbouncer")


def test_a_binary_that_migrates_by_itself(orders: Orders, tmp_path: Path) -> None:
    """The first member that changes the schema as it starts is found, and goes back; what was expanded stays."""
    bad = release(tmp_path, "1.1.0", NEW, at_start="create table if not exists mine (id bigint)")
    ended = orders.upgrade(nodewise_releases={"1.1.0": bad})
    assert "rolled_back" == ended.outcome, ended.said
    assert "schema_unchanged: the schema was changed by somebody else" in reason(ended)
    assert {"1.0.0"} == orders.versions()
    assert "c1 e2" == revisions(orders)


def test_a_release_with_a_schema(orders: Orders) -> None:
    """Expand, roll and backfill, which is asked to pause; then it waits for a yes with the old shape still there, and goes back."""
    with Client(asked(orders)) as client:
        slow = orders.schema()
        slow["backfill"] |= {"rate": 1000, "wait": 5}
        ended = orders.upgrade(nodewise_approve="", nodewise_schema=slow)
        assert ("paused", "step_failed") == (ended.outcome, ended.summary["reason_code"]), ended.said
        assert "backfilled: the backfill is not done" in reason(ended)
        orders.root(orders.names[0], "systemctl stop ssh; pkill -x sshd")  # on a bad day, too, it can be asked to pause
        try:
            ended = orders.play("backfill", nodewise_schema=slow, nodewise_backfill="pause")
        finally:
            orders.root(orders.names[0], "systemctl start ssh")
        assert (4, True) == (ended.code, "backfill of orders: paused; " in ended.said), ended.said
        stands = orders.sql("select scanned from nodewise.backfill")
        ended = orders.play("status", nodewise_schema=slow)
        assert f"backfill of orders: paused; {stands} of about 100" in ended.said, ended.said  # and those that clients added
        ended = orders.play("backfill", nodewise_schema=slow, nodewise_backfill="resume", nodewise_backfill_rate=1e9)
        assert (0, True) == (ended.code, "of at most 1e+09" in ended.said or "backfill of" not in ended.said), ended.said
        ended = orders.upgrade(nodewise_approve="")
        assert ("paused", "approval_needed") == (ended.outcome, ended.summary["reason_code"]), ended.said
        assert "when the old shape of the schema is dropped" in reason(ended)
        assert {"1.1.0"} == orders.versions()
        assert ("c1 e2", "id name first last") == (revisions(orders), orders.sql(LIVE))
        assert "t" == orders.sql("select done is not null and rows > 0 from nodewise.backfill")
        assert "the contract of 1.1.0 waits" in orders.play("status", nodewise_schema=orders.schema()).said
        refused = orders.rollback(nodewise_schema=orders.schema(readable=""))
        assert "refused" == refused.outcome, refused.said
        assert "old_reads_new: whether the version can read the rows that a newer one wrote is unknown" in reason(refused)
        ended = orders.rollback(nodewise_schema=orders.schema())
        assert ("rolled_back", {"1.0.0"}) == (ended.outcome, orders.versions()), ended.said
        assert "id name first last" == orders.sql(LIVE)
    assert [] == client.bad
    assert client.good > 50


def test_contract(orders: Orders) -> None:
    """Not while a stranger is connected, who is named; then the column is dropped under requests, and there is no way back."""
    orders.root(
        orders.names[1],
        f"PGPASSWORD={PASSWORD} PGAPPNAME=report systemd-run -q --unit=report --setenv=PGPASSWORD --setenv=PGAPPNAME sh -c "
        f"'sleep 600 | psql {URL.replace('orders@', 'report@')}'",
    )
    ended = orders.upgrade()
    assert ("paused", "step_failed") == (ended.outcome, ended.summary["reason_code"]), ended.said
    assert "no_undeclared_sessions: sessions of nobody that nodewise_schema.consumers declares are connected" in reason(ended)
    assert '"application":"report"' in reason(ended)
    assert ("c1 e2", "id name first last") == (revisions(orders), orders.sql(LIVE))
    orders.root(orders.names[1], "systemctl stop report")
    with Client(asked(orders)) as client:
        ended = orders.upgrade()
    assert ("upgraded", {"1.1.0"}) == (ended.outcome, orders.versions()), ended.said
    assert ("c2", "id first last") == (revisions(orders), orders.sql(LIVE))
    assert [] == client.bad
    ended = orders.rollback(nodewise_schema=orders.schema())
    assert "refused" == ended.outcome, ended.said
    assert "schema_fits: the version needs a shape of the schema that was dropped" in reason(ended)
    assert PASSWORD not in "".join(path.read_text() for path in orders.runs.rglob("*") if path.is_file() and path.suffix != ".tar")
