# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migration tools by the tables that they leave in a real PostgreSQL, made here as each tool's documentation has them.

Sqitch, Liquibase and dbmate themselves are run by tests/system/test_app_schema_tools.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tests.migrations as written
from tests.integration.app_database import Database
from tests.integration.postgresql_cluster import PostgresqlCluster

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.pending import pending
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.state import TOOLS, state

FLYWAY = "flyway -locations=filesystem:db"
LIQUIBASE = "liquibase --changelog-file=db/changelog.xml update"
MIGRATE = "migrate -path db -database {database}"
NAMES = list(written.SQL)


class Tool(NamedTuple):
    """What of nodewise_schema a tool needs, its tables, and what it notes there of a step."""

    said: dict[str, str]
    tables: str
    note: str


TABLES = {
    "golang-migrate": Tool(
        {"tool": "golang-migrate", "expand": f"{MIGRATE} goto 2", "contract": f"{MIGRATE} up"},
        "create table schema_migrations (version bigint not null primary key, dirty boolean not null)",
        "truncate schema_migrations; insert into schema_migrations values (NUMBER, false)",
    ),
    "flyway": Tool(
        {"expand": f"{FLYWAY} -target=2 migrate", "contract": f"{FLYWAY} migrate"},
        "create table flyway_schema_history (installed_rank int primary key, version varchar(50), description varchar(200), "
        "type varchar(20), script varchar(1000), checksum int, success boolean not null)",
        "insert into flyway_schema_history values (NUMBER, 'NUMBER', 'NAME', 'SQL', 'VNUMBER__NAME.sql', SUM, true)",
    ),
    "sqitch": Tool(
        {"expand": "sqitch deploy --to @expand", "contract": "sqitch deploy"},
        "create schema sqitch; create table sqitch.changes (change_id text primary key, script_hash text unique, "
        "change text not null, project text not null)",
        "insert into sqitch.changes values ('NUMBER', 'SUM', 'NAME', 'orders'), ('xNUMBER', null, 'NAME', 'another_project')",
    ),
    "liquibase": Tool(
        {"expand": f"{LIQUIBASE} --label-filter=expand", "contract": LIQUIBASE},
        "create table databasechangelog (id varchar(255), author varchar(255), filename varchar(255), exectype varchar(10)); "
        "create table databasechangeloglock (id int primary key, locked boolean, lockgranted timestamp, lockedby varchar(255)); "
        "insert into databasechangeloglock values (1, false)",
        "insert into databasechangelog values ('NAME', 'me', 'db/FILE', 'EXECUTED')",
    ),
    "pgroll": Tool(
        {"expand": "pgroll start db/02_split.json", "contract": "pgroll complete", "folder": "db"},
        "create schema pgroll; create table pgroll.migrations (schema name, name text, done boolean, migration_type varchar(32)); "
        "insert into pgroll.migrations values ('public', 'by_hand', true, 'inferred')",
        "update pgroll.migrations set done = true; "
        "insert into pgroll.migrations select 'public', '0NUMBER_NAME', NUMBER = 1 where NUMBER < 3",
    ),
    "sql": Tool(
        {
            "expand": "dbmate -d db/migrate up",
            "contract": "dbmate -d db/post_migrate up",
            "folder": "db/migrate",
            "post_folder": "db/post_migrate",
        },
        "create table schema_migrations (version varchar(128) primary key)",
        "insert into schema_migrations values (lpad('NUMBER', 14, '0'))",
    ),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresqlCluster]:
    """One server."""
    made = PostgresqlCluster(("n1",))
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Tried(Database):
    """The database of a service that migrates with one tool, and its two releases."""

    def __init__(self, cluster: PostgresqlCluster, root: Path, name: str) -> None:
        super().__init__(cluster, root)
        self.tool, self.about = name, TABLES[name]
        self.said = self.about.said
        for version, last in (("1.0.0", 1), ("1.1.0", 2 if name == "pgroll" else 3)):
            folder = root / "releases" / version
            getattr(written, {"sql": "dbmate"}.get(name, name.replace("-", "_")))(folder / "files", last)
            (folder / "release.json").write_text(json.dumps({"version": version}))
        self.sql(f"grant create on database {self.name} to nodewise; set role nodewise; {self.about.tables}")
        self.note(1)

    def note(self, number: int) -> None:
        """Have the tool's tables say that a step was taken."""
        sums = getattr(TOOLS[self.tool], "sums", lambda _command, _folder: {})
        of = list(sums(FLYWAY.split(), str(self.root / "releases/1.1.0/files")).values())
        file = ("create.sql", "changelog.xml", "drop.sql")[number - 1]
        words = {"NUMBER": str(number), "NAME": NAMES[number - 1], "FILE": file, "SUM": of[number - 1] if of else ""}
        statement = self.about.note
        for word, text in words.items():
            statement = statement.replace(word, text)
        self.sql(f"set role nodewise; {statement}")

    def seen(self, *names: str) -> tuple[Any, ...]:
        """What gates would be told."""
        found = state(self.schema)
        assert found["error"] is None, found
        return tuple(found[name] for name in names)


@pytest.fixture
def tried(cluster: PostgresqlCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tried]:
    """With the schema of 1.0.0."""
    with Tried(cluster, tmp_path, request.param) as made:
        yield made


@pytest.mark.parametrize("tried", list(TABLES), indirect=True)
def test_phases(tried: Tried) -> None:
    """The tables tell which phases of which release are done, and when there is no way back."""
    phases = ("expanded", "contracted", "outgrown")
    assert [] == [one for one in tried.seen(*phases) if "1.1.0" in one]
    assert ([], [], {}) == tried.seen("dirty", "locked", "changed")
    tried.note(2)
    assert (True, False, False) == tuple("1.1.0" in one for one in tried.seen(*phases))
    assert "1.0.0" in tried.seen("behind")[0]
    tried.note(3)
    expanded, contracted, outgrown = tried.seen(*phases)
    assert (["1.1.0"], ["1.0.0"]) == ([one for one in expanded if one in contracted][-1:], outgrown)


@pytest.mark.parametrize("tried", [name for name in TABLES if name not in ("liquibase", "pgroll")], indirect=True)
def test_sql_of_what_is_to_come(tried: Tried) -> None:
    """It is read from the files, so that it can be linted."""
    found = [(one["phase"], one["gap"]) for one in pending({"schema": tried.schema, "version": "1.1.0"})]
    assert [("expand", ""), ("contract", "")] == found
    texts = [one["sql"] for one in pending({"schema": tried.schema, "version": "1.1.0"})]
    assert [True, True] == [sql in text for sql, text in zip(list(written.SQL.values())[1:], texts, strict=True)]


@pytest.mark.parametrize("tried", ["pgroll"], indirect=True)
def test_what_pgroll_does_by_itself_is_not_linted(tried: Tried) -> None:
    """Its operations are made for that; SQL that is written in one is linted, and what is no JSON is a gap."""
    begun, done = pending({"schema": tried.schema, "version": "1.1.0"})
    assert [("02_split", "", ""), ("02_split complete", "", "")] == [
        (one["revision"], one["sql"], one["gap"]) for one in (begun, done)
    ]
    folder = tried.root / "releases/1.1.0/files/db"
    (folder / "02_split.json").write_text('{"operations": [{"sql": {"up": "drop table orders"}}]}')
    assert "drop table orders;\n" == pending({"schema": tried.schema, "version": "1.1.0"})[0]["sql"]
    (folder / "02_split.json").rename(folder / "02_split.yaml").write_text("operations: []")
    assert "it is no JSON" == pending({"schema": tried.schema, "version": "1.1.0"})[0]["gap"]


DIRTY = {
    "golang-migrate": ("update schema_migrations set dirty = true, version = 2", "version 2 failed half-way; .*migrate force 2"),
    "flyway": (
        "insert into flyway_schema_history values (2, '2', 'x', 'SQL', 'V2__split.sql', 1, false)",
        r"version 2 failed half-way \(V2__split\.sql\)",
    ),
}


@pytest.mark.parametrize("tried", list(DIRTY), indirect=True)
def test_a_migration_that_failed_half_way(tried: Tried) -> None:
    """It is none that the database has; nothing is begun after it, and what to do is said."""
    statement, says = DIRTY[tried.tool]
    tried.sql(statement)
    ((line,), expanded) = tried.seen("dirty", "expanded")
    assert "1.1.0" not in expanded
    for begun in (lambda: tried.run("expand", "1.1.0"), lambda: pending({"schema": tried.schema, "version": "1.1.0"})):
        with pytest.raises(DatabaseError, match=says):
            begun()
    assert line.startswith("version 2 failed half-way")


@pytest.mark.parametrize("tried", ["liquibase"], indirect=True)
def test_a_lock_that_was_left(tried: Tried) -> None:
    """It is in a table, so it outlives whoever was killed with it; who that was is said."""
    tried.sql("update databasechangeloglock set locked = true, lockgranted = '2026-11-30 12:00', lockedby = 'n1 (10.0.0.1)'")
    says = r"Liquibase's lock is held by n1 \(10\.0\.0\.1\) since 2026-11-30 12:00:00; .*liquibase release-locks"
    assert 1 == len(tried.seen("locked")[0])
    for begun in (lambda: tried.run("expand", "1.1.0"), lambda: pending({"schema": tried.schema, "version": "1.1.0"})):
        with pytest.raises(DatabaseError, match=says):
            begun()


@pytest.mark.parametrize("tried", ["flyway", "sqitch"], indirect=True)
def test_a_file_that_was_changed_since(tried: Tried) -> None:
    """It was applied as another one: the release that ships it is named, and the one that ships the old one is not."""
    folder = tried.root / "releases/1.1.0/files"
    (path,) = [*folder.glob("db/V1__*"), *folder.glob("deploy/create.sql")]
    path.write_text(path.read_text() + "-- a word\n")
    name = {"flyway": "1", "sqitch": "orders:create"}[tried.tool]
    assert ({"1.1.0": [name]},) == tried.seen("changed")
    for begun in (lambda: tried.run("expand", "1.1.0"), lambda: pending({"schema": tried.schema, "version": "1.1.0"})):
        with pytest.raises(DatabaseError, match=f"{name} was applied, and 1.1.0 ships another file of that name"):
            begun()


@pytest.mark.parametrize("tried", ["golang-migrate"], indirect=True)
def test_a_command_that_did_nothing(tried: Tried) -> None:
    """Its exit code is not believed."""
    with pytest.raises(DatabaseError, match=r"expand ended with 0, and the database is at 1; 1.1.0 ships 1, 2"):
        tried.run("expand", "1.1.0", commands={**tried.schema["commands"], "expand": ["true", *f"{MIGRATE} goto 2".split()]})
