"""What bad days of a release that changes a schema share: a service that is put back between them, clients, sessions of others."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

from tests.simulation.bad_days import Day, clean, noted
from tests.system.cluster import Running, until
from tests.system.orders_cluster import LIVE, PASSWORD, ROWS, URL, Client, Orders, asked, orders_of, read, revisions

BACKFILL = "nodewise-orders-backfill"
STOP = f"systemctl stop orders {BACKFILL} report 2>/dev/null; systemctl reset-failed"
KEPT = "opt/nodewise/orders etc/nodewise"  # what a release changes on a node
KEEP = f"{STOP}; tar cf /root/kept.tar -C / {KEPT}"
BACK = f"{STOP}; cd /; rm -rf {KEPT}; tar xf /root/kept.tar"
SQL = "cd /; runuser -u postgres -- psql -qXAt -c 'set client_min_messages = error'"
KEEP_SQL = (
    f"{SQL} -c 'grant select on orders to report' -c 'grant pg_monitor to orders' orders; "
    f"{SQL} -c 'create database kept template orders'"
)
BACK_SQL = f"{SQL} -c 'drop database orders with (force)' -c 'create database orders template kept owner orders'"
NAMED = "(select id, to_jsonb(orders) as o from orders) rows", "coalesce(o ->> 'name', (o ->> 'first') || ' ' || (o ->> 'last'))"
WHOLE = f"select count(*) from {NAMED[0]} where id <= {ROWS} and {NAMED[1]} = 'a' || id || ' b' || id"  # noqa: S608  (ours)
ADDED = f"select coalesce(json_object_agg(id, {NAMED[1]}), '{{}}') from {NAMED[0]} where id > {ROWS}"  # noqa: S608  (ours)
AUDIT = (
    "create table audit (id bigint); create function note() returns trigger language plpgsql security definer as "
    "'begin insert into audit values (new.id); return new; end'; "
    "create trigger note after update on orders for each row execute function note()"
)
FILLED = f"select count(*) || ' ' || count(distinct id) from audit where id <= {ROWS}"  # noqa: S608  (ours)


@contextmanager
def kept(folder: Path) -> Iterator[Orders]:
    """Three members on 1.0.0, with a copy of what they and their database are."""
    for name in ("releases", "runs"):
        (folder / name).mkdir()
    with orders_of(folder / "releases", folder / "runs") as three:
        three.everywhere(KEEP)
        three.root(three.names[0], KEEP_SQL)
        yield three


def as_it_was(orders: Orders) -> Orders:
    """Put back what was kept."""
    orders.everywhere(BACK)
    orders.root(orders.names[0], BACK_SQL)
    orders.everywhere("systemctl start orders")
    until(lambda: all(orders.serves(name) for name in orders.names))
    assert {"1.0.0"} == orders.versions()
    return orders


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
    there = json.loads(orders.sql(ADDED))
    lost = {key: name for key, name in client.added.items() if there.get(key) != name}
    before = int(orders.sql(WHOLE))
    noted(day, len(lost) + ROWS - before)
    assert ({}, ROWS) == (lost, before)
    assert refuses or [] == client.bad
    clean(orders, orders.names)


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
        until(lambda: not orders.sql(seen))


class Others:
    """Asks for an order at a steady pace, however long answers take, and knows how long they took."""

    def __init__(self, urls: list[str], pace: float = 0.2) -> None:
        self.took: list[Future[float]] = []
        self._urls, self._pace = urls, pace
        self._end = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, with all answers."""
        self._end.set()
        self._thread.join()

    def p99(self) -> float:
        """Seconds in which 99 of 100 were answered."""
        return statistics.quantiles((one.result() for one in self.took), n=100)[-1]

    def _run(self) -> None:
        with ThreadPoolExecutor(100) as pool:
            while not self._end.wait(self._pace):
                url = self._urls[len(self.took) % len(self._urls)]
                self.took.append(pool.submit(_took, f"{url}/get/1"))


def _took(url: str) -> float:
    began = time.monotonic()
    assert read(url) is not None, url
    return time.monotonic() - began


def stays_old(orders: Orders, shape: str = "c1 e1") -> None:
    """Every member runs the old version, and the database is at these revisions."""
    assert ({"1.0.0"}, shape) == (orders.versions(), revisions(orders))


def upgraded(day: Day, orders: Orders, **variables: Any) -> None:
    """The same command, now that nothing is in its way, does all that was left: each member was restarted once."""
    day.upgrade("upgraded", **variables)
    day.restarted = dict.fromkeys(orders.names, 1)
    done(orders)


def done(orders: Orders) -> None:
    """All members run the new version, and the old shape is gone."""
    assert ({"1.1.0"}, "id first last") == (orders.versions(), orders.sql(LIVE))


def begun(running: Running, step: str) -> None:
    """Wait until a step of the cluster begins."""
    assert running.until(lambda record: (record.get("step"), record["phase"]) == (step, "begin"), 300)


def scanned(orders: Orders, rows: int) -> bool:
    """Whether the backfill has looked at so many rows."""
    return int(orders.sql("select coalesce(max(scanned), 0) from nodewise.backfill")) >= rows


@contextmanager
def counted(orders: Orders) -> Iterator[None]:
    """The backfill inside has filled each row from before exactly once."""
    orders.sql(AUDIT)
    yield
    assert f"{ROWS} {ROWS}" == orders.sql(FILLED)


def filling(orders: Orders, rate: float) -> dict[str, object]:
    """A schema whose backfill fills every row, also one that has been filled."""
    schema = orders.schema()
    schema["backfill"] = {**schema["backfill"], "where": "", "rate": rate}
    return {"nodewise_schema": schema}
