"""A controller that dies in a release that changes a schema, or a process of its does, while orders are added."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.simulation.bad_days import ROWS as TABLE
from tests.simulation.bad_days import Row
from tests.simulation.killing import clones, kinds_of, to_the_end
from tests.simulation.schema_days import (
    BACKFILL,
    as_it_was,
    begun,
    counted,
    done,
    filling,
    scanned,
    session,
    troubled,
)
from tests.system.cluster import until
from tests.system.orders_cluster import ROWS, Orders

pytestmark = pytest.mark.slow

PHASES = {"expand", "backfill", "before_contract", "contract"}
CONSUMERS = {"report": {"user": "report", "until": [{"command": "/usr/bin/true"}]}}
COMMAND = "select pid from pg_stat_activity where application_name like 'nodewise-orders-%'"  # of a phase


@pytest.mark.parametrize("phase", ["expand", "contract"])
def test_controller_killed_while_a_command_waits(orders: Orders, phase: str, tmp_path: Path) -> None:
    """The command is in the middle of the phase when its controller dies, and ends by itself: another controller goes on."""
    schema = orders.schema(consumers=CONSUMERS, retries=20)
    with troubled(orders, f"controller killed in {phase}") as day:
        if phase == "contract":
            day.upgrade("paused", nodewise_approve="", nodewise_schema=schema)
        with session(orders, "begin; select count(*) from orders;"):
            began, running = time.monotonic(), orders.start(nodewise_schema=schema)
            begun(running, phase)
            until(lambda: orders.sql(f"{COMMAND} and wait_event_type = 'Lock'") != "")
            running.kill()
        another = orders.start(controller=fresh(tmp_path), nodewise_schema=schema)
        day.ended(another.ended(), "upgraded", "unchanged", began=began)
        day.restarted = dict.fromkeys(orders.names, 1)
    done(orders)


def fresh(folder: Path) -> Path:
    """Another checkout."""
    return next(one for one in clones(folder) if one)


def test_controller_killed_at_half_of_the_backfill(orders: Orders, tmp_path: Path) -> None:
    """The backfill goes on; another controller waits for it, although what the dead one began still does."""
    with troubled(orders, "controller killed in the backfill at half") as day, counted(orders):
        began, running = time.monotonic(), orders.start(**filling(orders, 10_000))
        begun(running, "backfill")
        until(lambda: scanned(orders, ROWS // 2))
        orders.sql("update nodewise.backfill set rate = 200")  # there is more left than anybody waits for a lock
        running.kill()
        another = orders.start(controller=fresh(tmp_path), **filling(orders, 10_000))
        begun(another, "backfill")
        assert orders.sql("select done is null from nodewise.backfill") == "t"
        orders.sql("update nodewise.backfill set rate = 10000")
        day.ended(another.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(orders.names, 1)
    done(orders)


def test_backfill_killed_at_half(orders: Orders) -> None:
    """Its unit is begun again by itself, some times: nothing is done twice, nothing is left out, and the run sees no more of it."""
    with troubled(orders, "backfill killed by SIGKILL, three times") as day, counted(orders):
        began, running = time.monotonic(), orders.start(**filling(orders, 10_000))
        begun(running, "backfill")
        for share in (0.25, 0.5, 0.75):
            until(lambda rows=share * ROWS: scanned(orders, int(rows)))  # type: ignore[misc]
            orders.root(orders.names[0], f"systemctl kill --signal=KILL {BACKFILL}")
        day.ended(running.ended(), "upgraded", began=began)
        day.restarted = dict.fromkeys(orders.names, 1)
    done(orders)


def test_killed_after_each_kind_of_entry(orders: Orders, tmp_path: Path) -> None:
    """Wherever in a phase of the schema it dies, the same command goes on, from the same checkout or another."""
    good = orders.upgrade()
    assert "upgraded" == good.outcome, good.said
    left = {kind for kind in kinds_of(good) if kind[1] in PHASES}
    kinds, first, controllers = len(left), len(TABLE), clones(tmp_path)
    while left:
        before = len(left)
        as_it_was(orders)
        with troubled(orders, "controller killed") as day:
            began = time.monotonic()
            day.ended(to_the_end(day, left, controllers), "upgraded", "unchanged", began=began)
            day.restarted = dict.fromkeys(orders.names, 1)
        done(orders)
        assert len(left) < before, f"never written again: {left}"
    rows = TABLE[first:]
    outcomes = " or ".join(sorted({row.outcome for row in rows}))
    name = f"controller killed at each of {kinds} kinds of entry"
    TABLE[first:] = [Row(name, outcomes, sum(row.seconds for row in rows), rows[0].restarted, sum(row.lost for row in rows))]
