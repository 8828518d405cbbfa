# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema of a described service: what is wrong in one, what a migration is refused for, what revisions are meant."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import alembic, backfilling, django, lease, migrate, sql
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session, complaint, literal
from ansible_collections.nodewise.cluster.plugins.module_utils.host import process
from nodewise.cli.main import nodewise
from nodewise.errors import UsageError
from nodewise.fields import fields
from nodewise.systems.app import schema
from nodewise.systems.app.squawk import lint, refusal
from nodewise.upgrade.declared import declaration, vocabulary
from tests.orders import NEW, write, write_django
from tests.unit.test_app import GOOD as SERVICE
from tests.unit.test_app import ROLE

PAGE = Path(__file__).parents[2] / "docs/schema.md"
GOOD: dict[str, Any] = {"database": "orders", "migrate": "alembic upgrade head"}
FULL: dict[str, Any] = {"database": "orders", "expand": "alembic upgrade expand@head", "contract": "alembic upgrade contract@head"}
FILL = {"table": "t", "key": "id", "set": {"a": "b"}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"migrat": "x"}, "nodewise_schema.migrat: there is no such field (did you mean migrate?)"),
        ({"backfill": {**FILL, "chunks": 1}}, "nodewise_schema.backfill.chunks: there is no such field (did you mean chunk?)"),
        ({"backfill": {**FILL, "chunk": 0}}, "nodewise_schema.backfill.chunk: expected `int` >= 1"),
        ({"check": "select true", "backfill": {**FILL, "set": {}}}, "nodewise_schema.backfill.set: expected at least one column"),
        ({"backfill": FILL}, "nodewise_schema.check: a backfill needs one"),
        ({"database": ""}, "nodewise_schema.database: expected what psql connects to"),
        ({"database": "postgresql://u:secret@h/d"}, "nodewise_schema.database: a password is named, never written"),
        ({"database": "host=h password=secret"}, "nodewise_schema.database: a password is named, never written"),
        ({"expand": "alembic upgrade head"}, "nodewise_schema.migrate: expected either migrate or expand, found both"),
        ({"migrate": ""}, "nodewise_schema.migrate: expected either migrate or expand, found neither"),
        ({"contract": "alembic upgrade head"}, "nodewise_schema.contract: it goes with expand"),
        ({"tool": "alembik"}, "nodewise_schema.tool: 'alembik' is unknown (did you mean alembic?)"),
        ({"migrate": "make migrate"}, "nodewise_schema.tool: nothing in the command tells it"),
        ({"same_as": {"expand": "alembic upgrade head"}}, "nodewise_schema.same_as: expected migrate, found expand"),
        ({"tool": "sql"}, "nodewise_schema.folder: the tool sql needs the folder of its files"),
        ({"consumers": {"billing": {}}}, "nodewise_schema.consumers.billing: expected either user or application"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_named(change: dict[str, Any], says: str) -> None:
    """By its path, with the word that may have been meant; no password is repeated."""
    assert "alembic" == schema.tool_of(schema.read(GOOD))
    with pytest.raises(UsageError) as refused:
        schema.read({**GOOD, **change})
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_password_without_a_value() -> None:
    """Its variable is named."""
    service = {"name": "o", "user": "o", "root": "/opt/o", "access": {"members": []}}
    with pytest.raises(KeyError, match="vault_orders"):
        schema.resolved({**GOOD, "password": "vault_orders"}, {}, service)
    assert "p" == schema.resolved({**GOOD, "password": "vault_orders"}, {"vault_orders": "p"}, service)["password"]
    assert {} == schema.resolved({}, {}, service)


def test_a_command_of_ones_own() -> None:
    """It is what runs; what it is the same as tells the tool, and is what is read."""
    service = {"name": "o", "user": "o", "root": "/opt/o", "access": {"members": []}}
    given = {"database": "o", "migrate": "make migrate", "same_as": {"migrate": "alembic upgrade head"}}
    found = schema.resolved(given, {}, service)
    assert ("alembic", ["make", "migrate"]) == (found["tool"], found["commands"]["expand"])
    assert {"expand": ["alembic", "upgrade", "head"]} == found["read_as"]
    assert {"expand": ["alembic", "upgrade", "head"]} == schema.resolved(GOOD, {}, service)["read_as"]


def test_the_example_is_what_is_run() -> None:
    """Keystone's schema in the docs is the one that the tests upgrade it with."""
    block = PAGE.read_text().partition("## OpenStack Keystone")[2].partition("```yaml\n")[2].partition("```")[0]
    ran = yaml.safe_load((PAGE.parents[1] / "tests/system/keystone.yml").read_text())
    shown = yaml.safe_load(block)
    assert {"nodewise_schema"} < set(shown)
    assert shown["nodewise_schema"] == ran["nodewise_schema"]
    assert shown["nodewise_app"].items() <= ran["nodewise_app"].items()


def told(found: dict[str, Any]) -> Any:
    """What gives the variables of a service."""
    return {"nodewise_app": SERVICE, "nodewise_schema": found}.get


@pytest.mark.parametrize(
    ("found", "before", "after", "ending"),
    [
        ({}, [], [], None),
        (GOOD, ["expand"], [], None),
        ({**GOOD, "backfill": FILL, "check": "select true"}, ["expand"], ["backfill"], None),
        (FULL, ["expand"], ["before_contract", "contract"], "contract"),
        ({**FULL, "backfill": FILL, "check": "select true"}, ["expand"], ["backfill", "before_contract", "contract"], "contract"),
    ],
)
def test_phases(found: dict[str, Any], before: list[str], after: list[str], ending: str | None) -> None:
    """A service has those that are described, their gates, and a point of no return where something is dropped."""
    declared = declaration(ROLE, described=told(found))
    assert (before, after) == ([one.name for one in declared.before_first], [one.name for one in declared.after_last])
    assert ending == (declared.point_of_no_return and declared.point_of_no_return.before)
    known = vocabulary(declared, {})
    assert (
        bool(found) == ("expanded" in known) == ("schema_unchanged" in declared.steps[0].after) == ("schema_fits" in declared.ready)
    )
    assert ("contract" in found) == ("no_undeclared_sessions" in known)


REFUSED = [
    ("alter table t alter column c type numeric;", "changing-column-type"),
    ("alter table t add column c timestamptz default clock_timestamp();", "adding-field-with-default"),
    ("create index i on t (c);", "require-concurrent-index-creation"),
    ("drop index i;", "require-concurrent-index-deletion"),
    ("alter table t alter column c set not null;", "adding-not-nullable-field"),
    ("alter table t add column c int not null;", "adding-required-field"),
    ("alter table t add constraint c check (a > 0);", "constraint-missing-not-valid"),
    ("alter table t add constraint f foreign key (a) references u (id);", "adding-foreign-key-constraint"),
    ("alter table t add constraint u unique (a);", "disallowed-unique-constraint"),
    ("alter table t drop column c;", "ban-drop-column"),
    ("drop table t;", "ban-drop-table"),
    ("alter table t rename column c to d;", "renaming-column"),
    ("alter table t rename to u;", "renaming-table"),
    ("vacuum full t;", "rewrites the table"),
    ("truncate t;", "takes away what running members may need"),
    ("drop view v;", "takes away what running members may need"),
    ("alter tabel t;", "syntax-error"),
]


def linted(text: str, phase: str = "expand", gap: str = "") -> list[str]:
    """What is refused of a migration."""
    return [str(one) for one in lint([{"phase": phase, "revision": "e1", "sql": text, "gap": gap}])]


@pytest.mark.parametrize(("statement", "why"), REFUSED)
def test_a_migration_is_refused(statement: str, why: str) -> None:
    """By its statement, with others around it; squawk's own comment lets it pass."""
    (said, *_more) = [one for one in linted(f"select 1;\n\n{statement}\nselect 2;\n") if why in one]
    assert statement in said
    assert said.startswith("e1 ")
    if not why.startswith(("rewrites", "syntax")):
        rule = why if " " not in why else "ban-truncate-cascade"
        assert not [one for one in linted(f"-- squawk-ignore {rule}\n{statement}\n") if why in one]


@pytest.mark.parametrize(
    "statement",
    [
        "alter table t add column c text;",
        "alter table t add column c int default 7;",
        "create index concurrently if not exists i on t (c);",
        "alter table t add constraint c check (a > 0) not valid;",
        "alter table t validate constraint c;",
        "create table n (id bigint generated always as identity primary key);",
    ],
)
def test_a_migration_that_is_safe(statement: str) -> None:
    """It is not refused."""
    assert [] == linted(statement)


def test_contract_drops() -> None:
    """That is what it is for; it does not rewrite."""
    assert [] == linted("alter table t drop column c;\ndrop table u;", "contract")
    assert 1 == len(linted("alter table t alter column c type numeric;", "contract"))


def test_a_gap_is_waived_by_name() -> None:
    """What could not be linted is refused, until its hash is waived; a statement that changes has another hash."""
    (gap,) = lint([{"phase": "expand", "revision": "e1", "sql": "", "gap": "needs the database"}])
    assert "e1 cannot be linted (needs the database)" in refusal([gap], {})
    assert f'"{gap.hash}": "REASON"' in refusal([gap], {})
    assert "" == refusal([gap], {gap.hash: "read by two people"})
    hashes = {lint([{"phase": "expand", "revision": "e1", "sql": f"drop table {name};", "gap": ""}])[0].hash for name in "ab"}
    assert 2 == len(hashes)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("expand@head", ["a1", "e1", "e2"]),
        ("contract@head", ["a1", "e1", "e2", "c1", "c2"]),
        ("heads", ["a1", "e1", "e2", "c1", "c2"]),
        ("e1", ["a1", "e1"]),
        ("c", None),
        ("head", None),
        ("other@head", None),
        ("zz", None),
    ],
)
def test_what_alembic_leads_to(target: str, expected: list[str] | None, tmp_path: Path) -> None:
    """A revision, its beginning, a label's head, or all; what is not one is refused."""
    write(tmp_path, NEW)
    command = ["alembic", "-c", "alembic.ini", "upgrade", target]
    if expected is None:
        with pytest.raises(DatabaseError):
            alembic.shipped(command, str(tmp_path), "")
    else:
        assert sorted(expected) == sorted(alembic.shipped(command, str(tmp_path), ""))


def test_what_alembic_has(tmp_path: Path) -> None:
    """The last revisions stand for all before them, those that they depend on included."""
    write(tmp_path, NEW)
    known = alembic.ancestors(["alembic", "-c", "alembic.ini", "upgrade", "heads"], str(tmp_path))
    assert {"a1", "e1", "e2", "c1", "c2"} == set(alembic.applied(["c2"], known))
    assert {"unknown"} == set(alembic.applied(["unknown"], known))


def test_sql_of_each_revision() -> None:
    """What Alembic prints is split at its own comments."""
    printed = "BEGIN;\n\n-- Running upgrade  -> a1\n\nselect 1;\n\n-- Running upgrade a1 -> e1\n\nselect 2;\nCOMMIT;\n"
    assert {"e1": "\n\nselect 2;\nCOMMIT;\n"} == alembic.split(printed, ["e1"])


def test_a_folder_of_sql(tmp_path: Path) -> None:
    """Each file is a version; what takes one back is left out."""
    for name, text in {
        "20_b.up.sql": "select 2;",
        "20_b.down.sql": "x",
        "10_a.sql": "-- migrate:up\nselect 1;\n-- migrate:down\nx",
    }.items():
        (tmp_path / name).write_text(text)
    assert ["10", "20"] == sql.shipped([], str(tmp_path), "")
    assert "-- migrate:up\nselect 1;\n" == sql.text(str(tmp_path), "", "10")
    with pytest.raises(DatabaseError, match="No such file"):
        sql.shipped([], str(tmp_path), "nowhere")


def test_texts_in_sql() -> None:
    """Quotes and backslashes are those of the text."""
    assert ("'a''b'", "E'a\\\\b'") == (literal("a'b"), literal("a\\b"))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('psql:<stdin>:1: ERROR:  relation "x" does not exist\n', 'psql:<stdin>:1: ERROR:  relation "x" does not exist'),
        (
            "Traceback (most recent call last):\n  x\nsqlalchemy.exc.DataError: no\n(Background on this: x)\n",
            "sqlalchemy.exc.DataError: no",
        ),
        ("one\ntwo\n", "two"),
        ("", ""),
    ],
)
def test_why_a_command_failed(said: str, why: str) -> None:
    """The line that says it."""
    assert why == complaint(said)


@pytest.mark.parametrize(("program", "says"), [("exit 0", "squawk failed: "), ("echo no such rule >&2; exit 2", "no such rule")])
def test_a_linter_that_says_nothing_has_linted_nothing(
    program: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says [] of what is good: without a word it was ended, or could not begin."""
    (tmp_path / "squawk").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "squawk").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    with pytest.raises(UsageError, match=says):
        lint([{"phase": "expand", "revision": "e1", "sql": "drop table orders;", "gap": ""}])


class Asked(Session):
    """A session that answers what it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def ask(self, _statement: str, _timeout: float = 10.0) -> Any:
        """The next answer; the last one stays."""
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def end(self) -> str:
        """Nothing is to be ended."""
        return ""


RUNS = {"seen": False, "blockers": []}


@pytest.mark.parametrize(
    ("answers", "says"),
    [((RUNS,), "expand did not end within 0.5 s, and was ended"), ((RUNS, RUNS, DatabaseError("it is gone")), "it is gone")],
    ids=["takes too long", "the lease is lost"],
)
def test_nothing_of_a_command_goes_on_by_itself(answers: tuple[Any, ...], says: str, tmp_path: Path) -> None:
    """What it began ends with it, when its time is over and when nobody holds the database for it any more."""
    folder = tmp_path / "releases/1.0.0/files"
    folder.mkdir(parents=True)
    command = ["sh", "-c", "sleep 60 & echo $! >child; wait"]
    about = {"service": "orders", "root": str(tmp_path), "database": "d", "password": "", "user": "", "environment": {}}
    about |= {"commands": {"expand": command}, "lock_timeout": 2.0, "retries": 0, "timeout": 0.5 if len(answers) == 1 else 60.0}
    late = Asked("now", *[RUNS] * 30, *answers) if len(answers) > 1 else Asked("now", *answers)
    with pytest.raises(DatabaseError, match=says):
        migrate._once(late, about, "expand", "1.0.0")
    child = int((folder / "child").read_text())
    assert process.began(child) is None


def test_a_lag_that_is_not_shown_is_not_none() -> None:
    """To a user without pg_monitor all of a replica is null: the backfill ends, and says what it needs."""
    assert 20 == backfilling._behind(Asked(20.0))
    with pytest.raises(DatabaseError, match="grant it pg_monitor"):
        backfilling._behind(Asked(None))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("migrate", ["shop.0001_initial", "shop.0002_split", "shop.0003_drop", "stock.0001_initial"]),
        ("migrate shop", ["shop.0001_initial", "shop.0002_split", "shop.0003_drop", "stock.0001_initial"]),
        ("migrate --noinput shop 0002", ["shop.0001_initial", "shop.0002_split", "stock.0001_initial"]),
        ("migrate stock", ["stock.0001_initial"]),
        ("migrate shop 0004", "shop 0004 is no migration of the release"),
        ("migrate shop 000", "shop 000 is one of shop.0001_initial, shop.0002_split, shop.0003_drop of the release"),
        ("migrate shops", "shops is no migration of the release"),
        ("check", "expected 'migrate' in a command of Django"),
    ],
)
def test_what_a_command_of_django_leads_to(words: str, expected: list[str] | str, tmp_path: Path) -> None:
    """By app and name, with what other apps of the release have to have before."""
    write_django(tmp_path)
    theirs = tmp_path / "venv/lib/python3/site-packages/flatpages/migrations"
    theirs.mkdir(parents=True)
    (theirs / "0001_initial.py").write_text("class Migration: pass")
    command = ["python", "manage.py", *words.split()]
    if isinstance(expected, str):
        with pytest.raises(DatabaseError, match=expected):
            django.shipped(command, str(tmp_path), "")
    else:
        assert expected == sorted(django.shipped(command, str(tmp_path), ""))


def test_migrations_of_django_that_are_not_read(tmp_path: Path) -> None:
    """None, and squashed ones."""
    with pytest.raises(DatabaseError, match="no migration of Django is below"):
        django.revisions(str(tmp_path))
    write_django(tmp_path)
    (tmp_path / "shop/migrations/0004_all.py").write_text("class Migration:\n    replaces = [('shop', '0001_initial')]\n")
    with pytest.raises(DatabaseError, match=r"shop\.0004_all was squashed"):
        django.revisions(str(tmp_path))


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "21:59"]),
        ("09:00-17:30", ["09:00"], ["08:59", "17:30"]),
    ],
)
def test_hours(hours: str, inside: list[str], outside: list[str]) -> None:
    """Across midnight, too; the end is not in them."""
    assert [True] * len(inside) == [backfilling.within(hours, now) for now in inside]
    assert [False] * len(outside) == [backfilling.within(hours, now) for now in outside]
    assert backfilling.within("", "12:00")


@pytest.mark.parametrize(
    ("state", "asked", "behind"),
    [("run", "run", 0.0), ("replicas", "run", 11.0), ("pause", "pause", 11.0), ("cancel", "cancel", 0.0)],
)
def test_what_a_backfill_is_to_be_in(state: str, asked: str, behind: float) -> None:
    """What was asked for comes before what it waits for by itself."""
    assert state == backfilling._wanted({"hours": "", "max_lag": 10.0}, asked, behind)


def test_a_pooler() -> None:
    """Two sessions that come upon one server hold no lease: the database is refused."""
    pooled = Asked(True, 1, 4711)
    pooled.another = lambda: Asked(5, 4711)  # type: ignore[method-assign]
    with pytest.raises(DatabaseError, match="a pooler that gives a server to each transaction"):
        lease.hold(pooled)
    own = Asked(True, *[1] * lease.LOOKS)
    own.another = lambda: Asked(*[2] * lease.LOOKS)  # type: ignore[method-assign]
    lease.hold(own)


def test_linted_by_the_command(tmp_path: Path) -> None:
    """The schema is read beside the service, and SQL is linted where it is given."""
    file, text = tmp_path / "orders.yml", tmp_path / "e1.sql"
    file.write_text(json.dumps({"nodewise_app": SERVICE, "nodewise_schema": {**GOOD, "lock_timeout": "{{ seconds }}"}}))
    text.write_text("drop table t;\n")
    done = CliRunner().invoke(nodewise, ["app", "lint", str(file)])
    assert (0, f"{file}: greeter is described\n") == (done.exit_code, done.output)
    done = CliRunner().invoke(nodewise, ["app", "lint", str(file), "--sql", str(text)])
    assert (2, True) == (done.exit_code, "drop table t;" in done.output), done.output
    file.write_text(json.dumps({"nodewise_app": SERVICE, "nodewise_schema": {**GOOD, "migrat": ""}}))
    done = CliRunner().invoke(nodewise, ["app", "lint", str(file)])
    assert (2, True) == (done.exit_code, "nodewise_schema.migrat: there is no such field" in done.output)


@pytest.mark.parametrize("part", [schema.Schema, schema.Backfill, schema.Consumer], ids=lambda part: part.__name__)
def test_the_reference_is_that_of_the_code(part: Any) -> None:
    """docs/schema.md has each field, with its type, its default and its sentence, and no other."""
    section = PAGE.read_text().partition(f"\n### {part.__name__}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    own = [one for one in fields(part) if "." not in one.name]
    assert [] == [one.name for one in own if not one.says]
    assert [f"| `{one.name}` | {one.type} | {one.default} | {one.says} |" for one in own] == rows
