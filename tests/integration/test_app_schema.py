# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema of a service: a real PostgreSQL with a replica, and real migrations of Alembic."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tests.integration.app_database import Database
from tests.integration.postgresql_cluster import CLEAN, PostgresqlCluster
from tests.orders import ADD, DROP, NEW, OLD, stage, write_django

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import backfill, backfilling
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.lease import hold
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.migrate import perform
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.pending import pending
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.state import state, undeclared
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.telling import notes, told
from nodewise.systems.app.squawk import lint, refusal

ALEMBIC = [sys.executable, "-m", "alembic", "-c", "alembic.ini", "upgrade"]
ROWS = 100_000
COUNT = "select chunks from nodewise.backfill"
FILL = {
    "table": "orders",
    "key": "id",
    "set": {"first": "split_part(name, ' ', 1)", "last": "split_part(name, ' ', 2)"},
    "where": "first is null",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresqlCluster]:
    """A primary and a replica."""
    made = PostgresqlCluster(("n1", "n2"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Orders(Database):
    """The service's database, and its releases on this node."""

    said: ClassVar[dict[str, Any]] = {"expand": [*ALEMBIC, "expand@head"], "contract": [*ALEMBIC, "contract@head"]}

    def __init__(self, cluster: PostgresqlCluster, root: Path) -> None:
        super().__init__(cluster, root)
        stage(root, "1.0.0", OLD)
        stage(root, "1.1.0", NEW)

    def fill(self, rows: int) -> None:
        """Put rows into the table of 1.0.0."""
        self.sql(f"insert into orders (name) select 'a' || i || ' b' || i from generate_series(1, {rows}) i; analyze orders")  # noqa: S608  (ours)


@pytest.fixture
def orders(cluster: PostgresqlCluster, tmp_path: Path) -> Iterator[Orders]:
    """With the schema of 1.0.0."""
    with Orders(cluster, tmp_path) as made:
        made.run("expand", "1.0.0")
        made.run("contract", "1.0.0")
        yield made


def test_expand_and_contract(orders: Orders) -> None:
    """What each release ships is there after its phase, and the release before is outgrown by contract alone."""
    before = state(orders.schema)
    assert (["c1", "e1"], ["1.0.0"], ["1.0.0"], []) == tuple(
        before[key] for key in ("revisions", "expanded", "contracted", "outgrown")
    )
    done = orders.run("expand", "1.1.0")
    assert {"changed": True, "tries": 1, "timeout_seen": True} == done
    now = state(orders.schema)
    assert (["1.0.0", "1.1.0"], ["1.0.0"], [], [], None) == tuple(
        now[key] for key in ("expanded", "contracted", "outgrown", "replicas", "error")
    )
    assert before["fingerprint"] != now["fingerprint"]
    assert {"changed": False, "tries": 0, "timeout_seen": None} == orders.run("expand", "1.1.0")
    orders.run("contract", "1.1.0")
    now = state(orders.schema)
    assert (["1.0.0", "1.1.0"], ["1.0.0"]) == (now["contracted"], now["outgrown"])
    assert "name" not in orders.sql("select string_agg(attname, ' ') from pg_attribute where attrelid = 'orders'::regclass")


def test_lint_of_what_is_to_come(orders: Orders) -> None:
    """Expand is clean; a drop in it is refused with its statement, and in contract it is not."""
    found = pending({"schema": orders.schema, "version": "1.1.0"})
    assert [("expand", "e2", ""), ("contract", "c2", "")] == [(one["phase"], one["revision"], one["gap"]) for one in found]
    assert [ADD.lower() in one["sql"].lower() or DROP in one["sql"].lower() for one in found] == [True, True]
    assert [] == lint(found)
    stage(orders.root, "1.2.0", {**NEW, "e3": ("e2", None, None, "alter table orders alter column id type numeric")})
    (said,) = lint(pending({"schema": orders.schema, "version": "1.2.0"}))
    assert "e3 rewrites the table [changing-column-type]: alter table orders alter column id type numeric" in str(said)
    assert said.hash in refusal([said], {})
    assert "" == refusal([said], {said.hash: "the table is small"})


def test_what_cannot_be_linted(orders: Orders) -> None:
    """A migration that needs the database is a gap by its name."""
    stage(orders.root, "1.2.0", {**NEW, "e3": ("e2", None, None, "x")})
    file = orders.root / "releases/1.2.0/files/migrations/versions/e3_.py"
    file.write_text(file.read_text().replace("op.execute('x')", "op.get_bind().exec_driver_sql('select 1').scalar()"))
    found = {str(one) for one in lint(pending({"schema": orders.schema, "version": "1.2.0"}))}
    assert any("e3 cannot be linted (" in one for one in found), found


def test_a_lock_that_is_held(orders: Orders) -> None:
    """Expand gives up its place in the queue after the lock timeout, tries again, and names who holds the lock."""
    blocker = subprocess.Popen(
        ["psql", "-XAtq", orders.schema["database"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**CLEAN, "PGPASSWORD": orders.cluster.password, "PGAPPNAME": "report"},
        text=True,
    )
    assert blocker.stdin
    assert blocker.stdout
    blocker.stdin.write("begin; lock table orders; select pg_backend_pid();\n")
    blocker.stdin.flush()
    pid = blocker.stdout.readline().strip()
    try:
        with pytest.raises(DatabaseError) as refused:
            orders.run("expand", "1.1.0", retries=1)
    finally:
        blocker.communicate("rollback;\n")
    assert "expand failed 2 times: " in str(refused.value)
    assert f"blocked by pid {pid}, " in str(refused.value)
    assert "application report" in str(refused.value)
    assert 1 == orders.run("expand", "1.1.0")["tries"]


def test_a_tool_that_lies(orders: Orders) -> None:
    """It ends with 0 and did nothing: the revision that is not there is named."""
    lying = {**orders.schema["commands"], "expand": ["true", "alembic", "-c", "alembic.ini", "upgrade", "expand@head"]}
    with pytest.raises(DatabaseError, match=r"expand ended with 0, and the database is at c1, e1; 1.1.0 ships a1, e1, e2"):
        orders.run("expand", "1.1.0", commands=lying)
    assert "1.1.0" not in state(orders.schema)["expanded"]


def test_an_invalid_index(orders: Orders) -> None:
    """One that CONCURRENTLY left is named."""
    orders.sql("insert into orders (name) values ('a'), ('a')")
    stage(orders.root, "1.2.0", {**NEW, "e3": ("e2", None, None, "create unique index concurrently one_name on orders (name)")})
    with pytest.raises(DatabaseError, match=r"not create unique index.*it left the index one_name, which is invalid: drop it"):
        orders.run("expand", "1.2.0")
    assert ["one_name"] == state(orders.schema)["invalid_indexes"]


def test_an_index_that_a_lock_is_in_the_way_of(orders: Orders) -> None:
    """It is not tried for again, as the next try would find what the first one left; both are named."""
    stage(orders.root, "1.2.0", {**OLD, "e2": ("e1", None, None, "create index concurrently by_name on orders (name)")})
    with Session(orders.schema["database"], orders.cluster.password, "report") as other:
        pid = other.ask("begin; lock table orders in row exclusive mode; select to_json(pg_backend_pid())")
        with pytest.raises(DatabaseError) as refused:
            orders.run("expand", "1.2.0", lock_timeout=0.3)
    assert "lock timeout; it was blocked by " in str(refused.value)
    assert f"pid {pid}, " in str(refused.value)
    assert "it left the index by_name, which is invalid: drop it" in str(refused.value)
    orders.sql("drop index by_name")
    assert 1 == orders.run("expand", "1.2.0")["tries"]


def test_one_at_a_time(orders: Orders) -> None:
    """A second service does not migrate the database while another does; who does is named."""
    with Session(orders.schema["database"], orders.cluster.password, "nodewise billing expand 2.0") as other:
        hold(other)
        with pytest.raises(DatabaseError, match=r"is being changed by 'nodewise billing expand 2.0' \(pid \d+, from 127"):
            orders.run("expand", "1.1.0")
    assert orders.run("expand", "1.1.0")["changed"]


def test_a_command_that_nobody_watches(orders: Orders) -> None:
    """It goes on after what ran it was killed: no second one is begun beside it."""
    with Session(orders.schema["database"], orders.cluster.password, "nodewise-orders-0a1b2c3d") as other:
        pid = other.ask("select to_json(pg_backend_pid())")
        with pytest.raises(DatabaseError, match=rf"a command of an earlier run is still at work: pid {pid}, "):
            orders.run("expand", "1.1.0")
    assert orders.run("expand", "1.1.0")["changed"]


def test_a_stranger(orders: Orders) -> None:
    """Contract is refused while somebody is connected whom nobody declared; a declared one is no stranger."""
    orders.run("expand", "1.1.0")
    with Session(orders.schema["database"], orders.cluster.password, "report 7") as other:
        other.ask("select 1")
        assert ["report 7"] == [one["application"] for one in state(orders.schema)["undeclared"]]
        with pytest.raises(DatabaseError, match=r"sessions of no declared consumer are connected: .*report 7"):
            orders.run("contract", "1.1.0")
        known = {"consumers": {"report": {"application": "report", "until": [{"command": ["false"]}]}}}
        seen = state(orders.told(**known))
        assert ([], ["report: false ends with 1: ''"]) == (seen["undeclared"], seen["waiting"])


def test_another_user_on_a_member(orders: Orders) -> None:
    """A member's own sessions are known by its address and by the user of the database; another user there is a stranger."""
    orders.sql(f"create role report login password '{orders.cluster.password}'")
    url = orders.schema["database"]
    with (
        Session(url, orders.cluster.password, "orders") as own,
        Session(url.replace("nodewise@", "report@"), orders.cluster.password, "report") as other,
    ):
        own.ask("select 1")
        other.ask("select 1")
        (address,) = {one["address"] for one in state(orders.schema)["undeclared"]}
        on_member = {**orders.schema, "members": [{"name": "n1", "address": address}]}
        assert ["report"] == [one["user"] for one in state(on_member)["undeclared"]]
    orders.sql("drop role report")


def test_a_stranger_of_whom_little_is_shown(orders: Orders) -> None:
    """To a user without pg_monitor another one's session has neither a kind nor an address; it is a stranger's all the same."""
    orders.sql(f"create role plain login password '{orders.cluster.password}'")
    url = orders.schema["database"]
    with (
        Session(url, orders.cluster.password, "report") as other,
        Session(url.replace("nodewise@", "plain@"), orders.cluster.password, "x") as own,
    ):
        other.ask("select 1")
        assert [("nodewise", None)] == [(one["user"], one["address"]) for one in undeclared(own, orders.schema)]
    orders.sql("drop role plain")


def test_changed_by_hand(orders: Orders) -> None:
    """It is another fingerprint; rows are not."""
    before = state(orders.schema)["fingerprint"]
    orders.sql("insert into orders (name) values ('x')")
    assert before == state(orders.schema)["fingerprint"]
    orders.sql("create index by_hand on orders (name)")
    assert before != state(orders.schema)["fingerprint"]


def test_a_database_that_is_not_there(orders: Orders) -> None:
    """Nothing is known, and why is said; no password is in it."""
    seen = state({**orders.schema, "database": orders.schema["database"].replace(orders.name, "nowhere")})
    assert 'database "nowhere" does not exist' in seen["error"]
    assert seen["revisions"] is seen["expanded"] is seen["fingerprint"] is None
    assert orders.cluster.password not in seen["error"]


def filling(orders: Orders, **more: Any) -> dict[str, Any]:
    """The schema with a backfill."""
    return orders.told(backfill={**FILL, "chunk": 1000, **more}, check="select not exists (select from orders where first is null)")


def unit(schema: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The program of the backfill, as its unit runs it."""
    folder = backfill.prepare(schema)
    words = ["/usr/bin/python3", "-m", backfilling.__name__, f"{folder}/backfill.json"]
    password = (Path(folder) / "secret.env").read_text().partition("=")[2].strip().strip('"')
    return subprocess.Popen(words, env={**CLEAN, "PYTHONPATH": folder, "PGPASSWORD": password}, stdout=subprocess.DEVNULL)


def test_a_backfill_that_is_killed(orders: Orders) -> None:
    """SIGKILL at some moments: it goes on where it was, no row is filled twice, and none is left out."""
    orders.fill(ROWS)
    schema = filling(orders)
    assert (None, None, None) == tuple(state(schema)[key] for key in ("backfill", "checked", "error"))
    orders.run("expand", "1.1.0")
    orders.sql(
        "create table audit (id bigint); create function note() returns trigger language plpgsql as "
        "'begin insert into audit values (new.id); return new; end'; "
        "create trigger note after update on orders for each row execute function note(); grant all on audit to nodewise"
    )
    for share in (0.2, 0.5, 0.8):
        process = unit(schema)
        while (
            int(orders.sql("select coalesce(to_regclass('nodewise.backfill')::int, 0)")) == 0
            or int(orders.sql("select coalesce(max(scanned), 0) from nodewise.backfill")) < share * ROWS
        ):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert state(schema)["backfill"]["done"] is None
    orders.cluster.until(
        "n1",
        f"select not exists (select from pg_stat_activity where datname = '{orders.name}' and backend_type = 'client backend')",  # noqa: S608  (ours)
    )
    assert 0 == unit(schema).wait(60)
    seen = state(schema)
    assert (ROWS, ROWS, True) == (seen["backfill"]["rows"], seen["backfill"]["scanned"], seen["checked"])
    assert f"{ROWS} {ROWS}" == orders.sql("select count(*) || ' ' || count(distinct id) from audit")
    assert "a7 b7" == orders.sql("select first || ' ' || last from orders where id = 7")


def test_a_database_that_goes_away(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions end, as in a failover: the program of a backfill goes on by itself, and so does whoever waits for it."""
    orders.fill(20_000)
    schema = filling(orders, chunk=100, rate=4000)
    orders.run("expand", "1.1.0")
    processes: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(backfill, "begin", lambda _unit, about: processes.append(unit(about)))
    monkeypatch.setattr(backfill.Unit, "state", lambda _unit: SimpleNamespace(active="active"))  # there is no systemd here
    assert {"changed": True} == backfill.perform({"schema": schema})  # it does not wait, as the node is held until then
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(backfill.wait, {"schema": schema})
        until(schema, lambda seen: seen["scanned"] > 5000)
        ended = orders.sql(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name in "
            "('nodewise orders backfill', 'nodewise orders observe')"
        )
        assert "2" == ended
        assert waits.result(60)["backfill"]["done"]
    assert 0 == processes[0].wait(60)
    seen = state(schema)
    assert (20_000, 20_000, True) == (seen["backfill"]["rows"], seen["backfill"]["scanned"], seen["checked"])


DJANGO = [sys.executable, "manage.py", "migrate", "--verbosity=0", "shop"]


def test_django(orders: Orders) -> None:
    """The same phases, by app and name: linted, expanded, contracted; what the old release cannot go back to is known."""
    for version, last in (("7.0.0", "0001"), ("7.1.0", "0003")):
        folder = orders.root / "releases" / version
        write_django(folder / "files", last)
        (folder / "release.json").write_text(json.dumps({"version": version}))
    first = orders.told(expand=[*DJANGO, "0001"], contract="")
    assert perform({"schema": first, "phase": "expand", "version": "7.0.0"})["timeout_seen"]
    schema = orders.told(expand=[*DJANGO, "0002"], contract=[*DJANGO, "0003"])
    found = pending({"schema": schema, "version": "7.1.0"})
    assert [("expand", "shop.0002_split", ""), ("contract", "shop.0003_drop", "")] == [
        (one["phase"], one["revision"], one["gap"]) for one in found
    ]
    assert [] == lint(found)
    (said,) = lint([{**found[1], "phase": "expand"}])
    assert "shop.0003_drop takes away what running members may need" in str(said)
    perform({"schema": schema, "phase": "expand", "version": "7.1.0"})
    seen = state(schema)
    assert (True, False, False) == tuple("7.1.0" in seen[key] for key in ("expanded", "contracted", "outgrown"))
    assert "7.0.0" in seen["unproven"]
    assert "7.0.0" not in seen["outgrown"]
    perform({"schema": schema, "phase": "contract", "version": "7.1.0"})
    seen = state(schema)
    assert "7.1.0" in seen["contracted"]
    assert "7.0.0" in seen["outgrown"]


def until(schema: dict[str, Any], holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look at a backfill until something holds of it."""
    for _ in range(600):
        seen = state(schema)["backfill"]
        if seen and holds(seen):
            return dict(seen)
        time.sleep(0.05)
    raise AssertionError(seen)


def asked(schema: dict[str, Any], ask: str, rate: float | None = None) -> dict[str, Any]:
    """What the module returns that asks a backfill for something."""
    return dict(backfill.control({"schema": schema, "ask": ask, "rate": rate})["backfill"])


def test_a_backfill_that_is_asked(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    """It pauses, goes on, takes another rate, and ends when it is cancelled; resumed, it goes on where it was."""
    orders.fill(20_000)
    schema, processes = filling(orders, chunk=100, rate=1000), []
    with pytest.raises(DatabaseError, match="was not begun: an upgrade begins it"):
        asked(schema, "pause")
    orders.run("expand", "1.1.0")
    monkeypatch.setattr(backfill, "begin", lambda _unit, about: processes.append(unit(about)))
    process = unit(schema)
    until(schema, lambda seen: seen["scanned"] > 0)
    paused = asked(schema, "pause")
    assert ("pause", True) == (paused["state"], paused["running"])
    (note,) = notes(schema, state(schema), {"1.0.0"})
    assert note.startswith(f"backfill of orders: paused; {paused['scanned']} of about 20000 rows, ")
    time.sleep(1)
    assert paused["scanned"] == state(schema)["backfill"]["scanned"]
    with pytest.raises(DatabaseError, match="the rate is -5; expected rows a second, more than 0"):
        asked(schema, "look", -5)
    wish = {"schema": schema, "ask": "look", "rate": 500}
    assert backfill.control(wish, dry=True)["changed"]
    assert 500 == asked(schema, "look", 500)["most"]
    assert not backfill.control(wish, dry=True)["changed"]
    processes.append(process)
    monkeypatch.setattr(backfill, "begin", lambda _unit, _schema: None)  # it runs, and as a unit it would not be begun again
    began, resumed = time.monotonic(), asked(schema, "resume")
    assert "run" == resumed["state"]
    seen = until(schema, lambda seen: seen["scanned"] >= paused["scanned"] + 1000)
    assert (seen["scanned"] - paused["scanned"]) / (time.monotonic() - began) <= 500 * 1.3  # it was 1000
    cancelled = asked(schema, "cancel")
    assert (0, False, None) == (process.wait(10), cancelled["running"], cancelled["done"])
    with pytest.raises(DatabaseError, match=r"cancelled; to have it go on: .*nodewise_backfill=resume"):
        backfill.perform({"schema": schema})
    monkeypatch.setattr(backfill, "begin", lambda _unit, about: processes.append(unit(about)))
    assert cancelled["scanned"] <= asked(schema, "resume", 1e9)["scanned"]
    assert 0 == processes[-1].wait(60)
    seen = state(schema)
    assert (20_000, 20_000, True) == (seen["backfill"]["rows"], seen["backfill"]["scanned"], seen["checked"])
    with pytest.raises(DatabaseError, match="this backfill is done"):
        asked(schema, "pause")


def test_the_hours_of_a_backfill(orders: Orders) -> None:
    """Out of its hours it waits, and says so."""
    orders.fill(1000)
    orders.run("expand", "1.1.0")
    hour = (time.localtime().tm_hour + 2) % 24
    schema = filling(orders, hours=f"{hour:02}:00-{(hour + 1) % 24:02}:00")
    process = unit(schema)
    seen = until(schema, lambda seen: seen["state"] == "hours")
    assert (0, None) == (seen["scanned"], process.poll())
    assert "waits for its hours" in notes(schema, state(schema), {"1.0.0"})[0]
    asked(schema, "cancel")
    assert 0 == process.wait(10)


def test_what_an_older_release_can_read(orders: Orders) -> None:
    """Once the database is ahead of a release, only the user's own question says that it can read every row."""
    seen = state(orders.schema)
    assert ([], None) == (seen["unproven"], seen["readable"])
    orders.run("expand", "1.1.0")
    assert ["1.0.0"] == state(orders.schema)["unproven"]
    asks = orders.told(readable="select not exists (select from orders where name is null)")
    assert (True, []) == tuple(state(asks)[key] for key in ("readable", "unproven"))
    orders.sql("alter table orders alter name drop not null; insert into orders (first, last) values ('a', 'b')")
    assert (False, ["1.0.0"]) == tuple(state(asks)[key] for key in ("readable", "unproven"))
    orders.run("contract", "1.1.0")
    seen = state(asks)  # the column that is asked about is gone
    assert (None, ["1.0.0"], ["1.0.0"], None) == tuple(seen[key] for key in ("readable", "unproven", "outgrown", "error"))


def test_who_subscribes(orders: Orders) -> None:
    """A logical slot and a subscription are named in the plan's gaps."""
    assert {"notes": [], "gaps": []} == told(orders.schema, state(orders.schema), {"1.0.0"})
    orders.sql("create publication p for table orders")
    orders.sql(f"create subscription {orders.name}_s connection 'dbname=x' publication p with (connect = false)")
    (gap,) = told(orders.schema, state(orders.schema), {"1.0.0"})["gaps"]
    assert f"logical replication is not told of a changed schema (subscription {orders.name}_s)" in gap
    orders.sql(f"alter subscription {orders.name}_s set (slot_name = none); drop subscription {orders.name}_s")


def test_a_contract_that_waits(orders: Orders) -> None:
    """It is listed while every member runs the release and the old shape is there."""
    orders.run("expand", "1.1.0")
    seen = state(orders.schema)
    assert ["the contract of 1.1.0 waits: the schema still has the shape that older releases need"] == notes(
        orders.schema, seen, {"1.1.0"}
    )
    assert [] == notes(orders.schema, seen, {"1.0.0"}) == notes(orders.schema, seen, {"1.0.0", "1.1.0"})
    orders.run("contract", "1.1.0")
    assert [] == notes(orders.schema, state(orders.schema), {"1.1.0"})


def test_a_backfill_that_was_changed(orders: Orders) -> None:
    """Another expression is another backfill; another speed is the same."""
    one = filling(orders)["backfill"]["id"]
    assert one == filling(orders, chunk=10, rate=5)["backfill"]["id"]
    assert one != filling(orders, where="")["backfill"]["id"]


@pytest.mark.slow
@pytest.mark.alone
def test_how_quick_a_plan_of_200_migrations_is(orders: Orders) -> None:
    """What a plan adds for them takes at most 2 s, and 10 s with their lint."""
    more: dict[str, Any] = {
        f"e{number}": (f"e{number - 1}", None, None, f"alter table orders add column c{number} text") for number in range(3, 203)
    }
    stage(orders.root, "1.2.0", {**NEW, **more})
    began = time.monotonic()
    seen = state(orders.schema)
    planned = time.monotonic() - began
    assert (None, ["1.0.0"]) == (seen["error"], seen["expanded"])
    found = pending({"schema": orders.schema, "version": "1.2.0"})
    read = time.monotonic() - began
    assert [] == lint(found)
    linted = time.monotonic() - began
    assert (202, 0) == (len(found), sum(bool(one["gap"]) for one in found))
    print(f"200 migrations: a plan {planned:.2f} s, their SQL {read - planned:.2f} s, lint {linted - read:.2f} s")  # noqa: T201  (a figure)
    assert planned <= 2
    assert linted <= 10


@pytest.mark.slow
@pytest.mark.alone
def test_how_quick_a_backfill_is(orders: Orders) -> None:
    """At most 1.3 times as long as the same chunks in a plain loop of psql, over 1,000,000 rows."""
    rows, chunk = 1_000_000, 1000
    orders.fill(rows)
    orders.run("expand", "1.1.0")
    orders.sql("create table plain as select * from orders; alter table plain add primary key (id); grant all on plain to nodewise")
    orders.sql("analyze plain; checkpoint")
    loop = "".join(
        "update plain set first = split_part(name, ' ', 1), last = split_part(name, ' ', 2) "  # noqa: S608  (ours)
        f"where id > {at} and id <= {at + chunk} and first is null;\n"
        for at in range(0, rows, chunk)
    )
    began = time.monotonic()
    env = {**CLEAN, "PGPASSWORD": orders.cluster.password}
    subprocess.run(["psql", "-XAtq", orders.schema["database"]], input=loop, env=env, text=True, check=True)
    plain = time.monotonic() - began
    orders.sql("checkpoint")
    began = time.monotonic()
    assert 0 == unit(filling(orders, max_lag=3600)).wait(600)  # replicas are not what is measured
    took = time.monotonic() - began
    print(f"backfill of {rows} rows: {took:.1f} s, a plain loop {plain:.1f} s: {took / plain:.2f}, {orders.sql(COUNT)} chunks")  # noqa: T201  (a figure)
    assert took < 1.3 * plain
    assert state(filling(orders))["checked"]
