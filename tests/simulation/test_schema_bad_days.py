"""Bad days of a release that changes a schema, while orders are added: each test puts back what there was before it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.lease import KEY
from tests.orders import ADD, DROP, NEW, release
from tests.simulation.bad_days import fault
from tests.simulation.killing import clones
from tests.simulation.schema_days import (
    Others,
    begun,
    counted,
    done,
    filling,
    scanned,
    session,
    stays_old,
    troubled,
    upgraded,
)
from tests.system.cluster import Ended, until
from tests.system.orders_cluster import LIVE, ROWS, Orders, asked, reason, revisions

pytestmark = pytest.mark.slow


def test_two_services_on_one_database(orders: Orders) -> None:
    """The second one is refused while the first one changes the schema, who is named."""
    holds, other = f"begin; select pg_advisory_lock({KEY});", "nodewise billing expand 2.0"
    with troubled(orders, "two services on one database at once") as day:
        with session(orders, holds, other) as pid:
            ended = day.upgrade("paused")
            assert f"is being changed by '{other}' (pid {pid}, from " in reason(ended)
            stays_old(orders)
        upgraded(day, orders)


def test_a_schema_that_was_changed_by_hand(orders: Orders) -> None:
    """Between the plan and the run: the plan is another one's."""
    with troubled(orders, "changed by hand between plan and run") as day:
        ended = day.upgrade("planned", words=["--check"])
        plan = str(yaml.safe_load((ended.folder / "plan.yaml").read_text())["hash"])
        orders.sql("create index by_hand on orders (name)")
        day.refused(f"the cluster is not what plan {plan} was made for", nodewise_plan=plan)
        stays_old(orders)


READS, LOCKS = "select count(*) from orders", "lock table orders in row exclusive mode"


def blocked_by(ended: Ended, pid: str) -> list[str]:
    """What the session was doing that was in the way, as the reason says it."""
    return re.findall(rf"it was blocked by pid {pid}, user report, age_s \d+, query ([^;]*);", reason(ended))


def test_a_lock_that_is_held_for_ever(orders: Orders) -> None:
    """A transaction that read the table is named once all tries are over; others waited no longer than the lock timeout."""
    with troubled(orders, "a table lock held for ever in expand") as day:
        with session(orders, f"begin; {READS};") as pid, Others(asked(orders)) as others:
            ended = day.upgrade("paused")
        assert "expand failed 6 times: " in reason(ended)
        assert [READS] == blocked_by(ended, pid)
        assert others.p99() < 2
        stays_old(orders)
        upgraded(day, orders)


def test_a_migration_that_fails_halfway(orders: Orders, tmp_path: Path) -> None:
    """In a transaction nothing of it is there; the release that is mended goes on."""
    half = release(tmp_path, "1.1.0", {**NEW, "e2": ("e1", None, None, f"{ADD}; select 1 / 0")})
    with troubled(orders, "a migration fails half-way, in a transaction") as day:
        ended = day.upgrade("paused", nodewise_releases={"1.1.0": half})
        assert "expand failed: " in reason(ended)
        assert "division by zero" in reason(ended)
        stays_old(orders)
        assert "id name" == orders.sql(LIVE)
        upgraded(day, orders)


def test_an_index_that_cannot_be_built(orders: Orders, tmp_path: Path) -> None:
    """CONCURRENTLY leaves it invalid: it is named until it is dropped, and the release that is mended goes on."""
    index = "create unique index concurrently one_name on orders (name)"  # clients use names of rows that there are
    half = release(tmp_path, "1.1.0", {**NEW, "e3": ("e2", None, None, index)})
    with troubled(orders, "a migration fails half-way, CONCURRENTLY") as day:
        ended = day.upgrade("paused", nodewise_releases={"1.1.0": half})
        assert "could not create unique index" in reason(ended)
        assert "it left the index one_name, which is invalid: drop it" in reason(ended)
        stays_old(orders, "c1 e2")
        day.refused("no_invalid_indexes", "one_name")
        orders.sql("drop index concurrently one_name")
        upgraded(day, orders)


def test_an_index_that_waits_for_a_transaction(orders: Orders, tmp_path: Path) -> None:
    """What is in the way is named, and not that a second try found the index of the first one."""
    index = "create index concurrently by_name on orders (name)"
    built = release(
        tmp_path, "1.1.0", {**NEW, "e2": ("e1", None, None, index), "e3": ("e2", None, None, ADD), "c2": ("c1", None, "e3", DROP)}
    )
    orders.sql("grant update on orders to report")
    with troubled(orders, "CONCURRENTLY waits for a transaction for ever") as day:
        with session(orders, f"begin; {LOCKS};") as pid:
            ended = day.upgrade("paused", nodewise_releases={"1.1.0": built})
            assert [LOCKS] == blocked_by(ended, pid)
            assert "it left the index by_name, which is invalid: drop it" in reason(ended)
            stays_old(orders)
        orders.sql("drop index concurrently by_name")
        upgraded(day, orders, nodewise_releases={"1.1.0": built})


def test_a_consumer_that_nobody_declared(orders: Orders) -> None:
    """It is named before anything is dropped; declared, and said to be ready, it is in nobody's way."""
    with troubled(orders, "an undeclared consumer") as day, session(orders, "select 1;") as pid:
        ended = day.upgrade("paused")
        assert "no_undeclared_sessions: " in reason(ended)
        assert f'"pid":{pid}' in reason(ended)
        assert ({"1.1.0"}, "c1 e2", "id name first last") == (orders.versions(), revisions(orders), orders.sql(LIVE))
        consumers = {"report": {"user": "report", "until": [{"command": "/usr/bin/test -e /root/ready"}]}}
        ended = day.upgrade("paused", nodewise_schema=orders.schema(consumers=consumers))
        assert "nobody_needs_old_shape: " in reason(ended)
        assert "report: /usr/bin/test ends with 1" in reason(ended)
        orders.everywhere("touch /root/ready")
        upgraded(day, orders, nodewise_schema=orders.schema(consumers=consumers))
    orders.everywhere("rm /root/ready")


def test_two_operators_at_once(orders: Orders, tmp_path: Path) -> None:
    """Of two that begin at the same moment from two checkouts one changes schema and members; the other is told who does."""
    controllers = clones(tmp_path)
    with troubled(orders, "two operators at once") as day:
        began = time.monotonic()
        both = [orders.start(controller=next(controllers)) for _ in range(2)]
        first, second = sorted((running.ended() for running in both), key=lambda ended: ended.outcome)
        day.ended(second, "upgraded", began=began)
        day.ended(first, "refused", began=time.monotonic())
        assert second.folder.name in reason(first), first.said
        day.restarted = dict.fromkeys(orders.names, 1)
    done(orders)


SMALL = "/srv/small"
MOUNT = f"mkdir {SMALL}; mount -t tmpfs -o size=64m nodewise {SMALL}; chown postgres: {SMALL}; chmod 700 {SMALL}"


@pytest.fixture
def on_a_small_disk(orders: Orders) -> Iterator[Orders]:
    """The table is on a file system of its own."""
    first = orders.names[0]
    orders.root(first, MOUNT)
    orders.sql(f"create tablespace small location '{SMALL}'")
    orders.sql("alter table orders set tablespace small")
    yield orders
    orders.sql("alter table orders set tablespace pg_default")
    orders.sql("drop tablespace small")
    orders.root(first, f"umount {SMALL}; rmdir {SMALL}")


def test_a_disk_that_is_full_in_the_backfill(on_a_small_disk: Orders) -> None:
    """The backfill gives up with what the database says; once there is room, the same command goes on where it was."""
    orders, slow = on_a_small_disk, filling(on_a_small_disk, 10_000)
    with troubled(orders, "disk full in the backfill", refuses=True) as day, counted(orders):
        began, running = time.monotonic(), orders.start(**slow)
        begun(running, "backfill")
        until(lambda: scanned(orders, ROWS // 2))
        with fault(orders, "full_disk", target=orders.names[0], unit="orders", folder=SMALL):
            ended = day.ended(running.ended(), "paused", began=began)
        assert "the backfill ended: " in reason(ended)
        assert "No space left on device" in reason(ended)
        upgraded(day, orders, **slow)


OLD_AGAIN = "cd /opt/nodewise/orders; ln -sfn releases/1.0.0 .next && mv -T .next current; systemctl restart orders"


def test_a_member_that_is_left_on_the_old_version(orders: Orders) -> None:
    """Somebody puts a member back during the backfill: contract is refused, and the next run takes that member along.

    What it wrote meanwhile is filled, too, as `check` says that there is such a row.
    """
    slow = orders.schema(check="select true")  # with its own check the old member's rows would be what is found first
    slow["backfill"] |= {"rate": 10000}
    last = orders.names[2]
    with troubled(orders, "a member is left on the old version") as day:
        began, running = time.monotonic(), orders.start(nodewise_schema=slow)
        begun(running, "backfill")
        orders.root(last, OLD_AGAIN)
        ended = day.ended(running.ended(), "paused", began=began)
        assert "nobody_needs_old_shape: " in reason(ended)
        assert f'"name":"{last}"' in reason(ended)
        assert ("c1 e2", "id name first last") == (revisions(orders), orders.sql(LIVE))
        day.upgrade("upgraded")
        day.restarted = {**dict.fromkeys(orders.names, 1), last: 3}
    done(orders)
