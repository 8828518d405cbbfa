"""Bad days of a release that changes a schema, while orders are added: each test puts back what there was before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.lease import KEY
from tests.simulation.bad_days import Day, clean, noted
from tests.system.cluster import until
from tests.system.orders_cluster import PASSWORD, ROWS, URL, Client, Orders, asked, orders_of, revisions

pytestmark = pytest.mark.slow

UNIT = "nodewise-orders-backfill"
STOP = f"systemctl stop orders {UNIT} report 2>/dev/null; systemctl reset-failed"
KEPT = "opt/nodewise/orders etc/nodewise"  # what a release changes on a node
KEEP = f"{STOP}; tar cf /root/kept.tar -C / {KEPT}"
BACK = f"{STOP}; cd /; rm -rf {KEPT}; tar xf /root/kept.tar"
SQL = "cd /; runuser -u postgres -- psql -qXAt -c 'set client_min_messages = error'"
KEEP_SQL = f"{SQL} -c 'grant select on orders to report' orders; {SQL} -c 'create database kept template orders'"
BACK_SQL = f"{SQL} -c 'drop database orders with (force)' -c 'create database orders template kept owner orders'"
WHOLE = (
    f"select count(*) from (select id, to_jsonb(orders) as o from orders where id <= {ROWS}) rows "  # noqa: S608  (ours)
    "where coalesce(o ->> 'name', (o ->> 'first') || ' ' || (o ->> 'last')) = 'a' || id || ' b' || id"
)


@pytest.fixture(scope="module")
def made(testnet_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orders]:  # noqa: ARG001  (in that home)
    """Three members on 1.0.0, with a copy of what they and their database are."""
    with orders_of(tmp_path_factory.mktemp("releases"), tmp_path_factory.mktemp("runs")) as three:
        three.everywhere(KEEP)
        three.root(three.names[0], KEEP_SQL)
        yield three


@pytest.fixture
def orders(made: Orders) -> Orders:
    """As they were when they were made."""
    made.everywhere(BACK)
    made.root(made.names[0], BACK_SQL)
    made.everywhere("systemctl start orders")
    until(lambda: all(_serves(made, name) for name in made.names))
    return made


def _serves(orders: Orders, name: str) -> bool:
    try:
        return "1.0.0" == orders.version(name)
    except OSError:
        return False


@contextmanager
def troubled(orders: Orders, name: str, refuses: bool = False) -> Iterator[Day]:
    """Orders are added around what happens inside; then none is lost that was acknowledged, nor of those from before.

    Unless the day `refuses` requests, each of them was good. A row for the table; nothing is left behind, and all members serve.
    """
    day = Day(orders, name, orders.starts())
    with Client(asked(orders)) as client:
        grown(client)
        yield day
        grown(client)
    lost = client.lost()
    noted(day, len(lost) + ROWS - int(orders.sql(WHOLE)))
    assert [] == lost
    assert str(ROWS) == orders.sql(WHOLE)
    assert refuses or [] == client.bad
    clean(orders, orders.names, leases="paused" != day.outcomes[-1])  # after a step of the cluster that failed, there are some


def grown(client: Client, more: int = 10) -> None:
    """Wait until some more orders were added."""
    enough = client.good + more
    until(lambda: client.good >= enough)


@contextmanager
def session(orders: Orders, statement: str, application: str = "report") -> Iterator[str]:
    """A session of the user `report` on the second node that did something, and stays; yields its pid."""
    node = orders.names[1]
    orders.root(
        node,
        f"PGPASSWORD={PASSWORD} PGAPPNAME='{application}' systemd-run -q --unit=report --setenv=PGPASSWORD --setenv=PGAPPNAME "
        f"sh -c \"(echo '{statement}'; sleep 900) | psql -X {URL.replace('orders@', 'report@')}\"",
    )
    try:
        seen = (
            f"select pid from pg_stat_activity where usename = 'report' and '{statement}' like '%' || query and state like 'idle%'"  # noqa: S608  (ours)
        )
        until(lambda: bool(orders.sql(seen)))
        yield orders.sql(seen)
    finally:
        orders.root(node, "systemctl stop report")


def stays_old(orders: Orders, shape: str = "c1 e1") -> None:
    """Every member runs the old version, and the database is at these revisions."""
    assert ({"1.0.0"}, shape) == (orders.versions(), revisions(orders))


def test_two_services_on_one_database(orders: Orders) -> None:
    """The second one is refused while the first one changes the schema, who is named."""
    holds, other = f"begin; select pg_advisory_lock({KEY});", "nodewise billing expand 2.0"
    with troubled(orders, "two services on one database at once") as day, session(orders, holds, other) as pid:
        ended = day.upgrade("paused")
        assert f"is being changed by '{other}' (pid {pid}); wait" in str(ended.summary["reason"])
        stays_old(orders)


def test_a_schema_that_was_changed_by_hand(orders: Orders) -> None:
    """Between the plan and the run: the plan is another one's."""
    with troubled(orders, "changed by hand between plan and run") as day:
        ended = day.upgrade("planned", words=["--check"])
        plan = str(yaml.safe_load((ended.folder / "plan.yaml").read_text())["hash"])
        orders.sql("create index by_hand on orders (name)")
        day.refused(f"the cluster is not what plan {plan} was made for", nodewise_plan=plan)
        stays_old(orders)
