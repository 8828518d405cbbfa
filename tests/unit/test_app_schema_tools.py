# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each migration tool's command leads to, read from the files of a release without the tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tests.migrations as written
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import flyway, liquibase, sqitch
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.state import TOOLS
from nodewise.systems.app import schema

MIGRATE = "migrate -path db -database x"
FLYWAY = "flyway -locations=filesystem:db"
LIQUIBASE = "liquibase --changelog-file=db/changelog.xml"
NAMED = [f"db/{name}" for name in ("create.sql::create::me", "changelog.xml::split::me", "drop.sql::drop::me")]


@pytest.mark.parametrize(
    ("tool", "command", "expected"),
    [
        ("golang-migrate", f"{MIGRATE} goto 2", ["1", "2"]),
        ("golang-migrate", f"{MIGRATE} up", ["1", "2", "3"]),
        ("golang-migrate", "migrate -source=file://db goto 000001", ["1"]),
        ("golang-migrate", f"{MIGRATE} goto 7", "version 7 is named, and no file of the release has it"),
        ("golang-migrate", f"{MIGRATE} up 2", "expected 'goto VERSION' or 'up' at the end of a command"),
        ("golang-migrate", f"{MIGRATE} version", "expected 'goto VERSION' or 'up' at the end of a command"),
        ("golang-migrate", "migrate up", "expected -path FOLDER in a command of golang-migrate"),
        ("golang-migrate", "migrate -path nowhere up", "nowhere: No such file or directory"),
        ("flyway", f"{FLYWAY} -target=2 migrate", ["1", "2"]),
        ("flyway", f"{FLYWAY} migrate", ["1", "2", "3"]),
        ("flyway", f"{FLYWAY} -target=7 migrate", "version 7 is named, and no file of the release has it"),
        ("flyway", f"{FLYWAY} info", "expected 'migrate' in a command of Flyway"),
        ("flyway", "flyway -locations=classpath:db migrate", "expected -locations=filesystem:FOLDER"),
        ("sqitch", "sqitch deploy --to @expand", ["orders:create", "orders:split"]),
        ("sqitch", "sqitch deploy --to split", ["orders:create", "orders:split"]),
        ("sqitch", "sqitch deploy --to=split@expand", ["orders:create", "orders:split"]),
        ("sqitch", "sqitch deploy", ["orders:create", "orders:split", "orders:drop"]),
        ("sqitch", "sqitch deploy --to other", "other is neither a change nor a tag of the plan"),
        ("sqitch", "sqitch status", "expected 'deploy' in a command of Sqitch"),
        ("liquibase", f"{LIQUIBASE} update --label-filter=expand", NAMED[:2]),
        ("liquibase", f"{LIQUIBASE} --label-filter=!contract update", NAMED[:2]),
        ("liquibase", f"{LIQUIBASE} update", NAMED),
        ("liquibase", f"{LIQUIBASE} update --contexts=prod", "contexts, and parentheses in --label-filter, are not read"),
        ("liquibase", f"{LIQUIBASE} status", "expected 'update' in a command of Liquibase"),
        ("liquibase", "liquibase update", "expected --changelog-file=FILE in a command of Liquibase"),
        ("liquibase", "liquibase --changelog-file=db/changelog.yaml update", "changelog.yaml: No such file or directory"),
        (
            "pgroll",
            "pgroll start db/03_drop.json",
            [*(f"0{n}{end}" for n in ("1_create", "2_split") for end in ("", " complete")), "03_drop"],
        ),
        ("pgroll", "pgroll complete", [f"0{n}{end}" for n in ("1_create", "2_split", "3_drop") for end in ("", " complete")]),
        ("pgroll", "pgroll status", "expected either 'start' or 'complete' in a command of pgroll"),
    ],
)
def test_what_a_command_leads_to(tool: str, command: str, expected: list[str] | str, tmp_path: Path) -> None:
    """In the order of the files; what is not understood is refused, and why is said."""
    getattr(written, tool.replace("-", "_"))(tmp_path, 3)
    words = command.split(" ")
    if isinstance(expected, str):
        with pytest.raises(DatabaseError) as refused:
            TOOLS[tool].shipped(words, str(tmp_path), "db")
        assert expected in str(refused.value)
    else:
        assert expected == TOOLS[tool].shipped(words, str(tmp_path), "db")


@pytest.mark.parametrize(
    ("asked", "labels", "expected"),
    [
        ("expand", ["expand"], True),
        ("expand, other", ["other"], True),
        ("expand and v2", ["expand"], False),
        ("EXPAND and v2", ["expand", "v2"], True),
        ("v1 or expand and not v2", ["expand"], True),
        ("not expand", ["expand"], False),
        ("!contract", ["expand"], True),
    ],
)
def test_labels_of_liquibase(asked: str, labels: list[str], expected: bool) -> None:
    """As its own filter has them."""
    assert expected == liquibase._matches(asked, labels)


def test_a_changelog_that_includes_a_folder(tmp_path: Path) -> None:
    """In the order of names, with the labels of the include; what is for another database is left out."""
    written.liquibase(tmp_path, 1)
    (tmp_path / "db/more").mkdir()
    for name, more in (("b", ' labels:"two, three"'), ("a", ""), ("c", " dbms:mysql")):
        (tmp_path / f"db/more/{name}.sql").write_text(f"--liquibase formatted sql\n--changeset me:{name}{more}\nselect 1;\n")
    (tmp_path / "db/changelog.xml").write_text(written.XML.format('<includeAll path="db/more" labels="one"/>'))
    found = liquibase._sets([*LIQUIBASE.split(), "update"], str(tmp_path))
    assert [("db/more/a.sql::a::me", ["one"]), ("db/more/b.sql::b::me", ["one", "two", "three"])] == found
    (tmp_path / "db/changelog.xml").write_text("<databaseChangeLog>")
    with pytest.raises(DatabaseError, match=r"changelog\.xml: no element found"):
        liquibase._sets([*LIQUIBASE.split(), "update"], str(tmp_path))


def test_changes_of_sqitch_that_are_not_read(tmp_path: Path) -> None:
    """One that was reworked has two versions under one name; and a plan that is none."""
    written.sqitch(tmp_path, 3)
    plan = tmp_path / "sqitch.plan"
    plan.write_text(f"{plan.read_text()}split [split@expand] {written.PLANNED}\n")
    with pytest.raises(DatabaseError, match="split was reworked"):
        sqitch.ancestors([], str(tmp_path))
    written.sqitch(tmp_path, 3)
    (tmp_path / "deploy/drop.sql").unlink()
    with pytest.raises(DatabaseError, match=r"deploy/drop\.sql is not there, and the plan names its change"):
        sqitch.ancestors([], str(tmp_path))
    plan.write_text("%project=orders\n")
    with pytest.raises(DatabaseError, match="is no plan of Sqitch"):
        sqitch.ancestors([], str(tmp_path))
    (tmp_path / "sqitch.conf").write_text("[core]\n\ttop_dir = db\n")
    with pytest.raises(DatabaseError, match=r"db/sqitch\.plan: No such file"):
        sqitch.ancestors([], str(tmp_path))


def test_versions_of_flyway(tmp_path: Path) -> None:
    """In the order of their numbers; a baseline stands for all before it; a checksum is of lines, however they end."""
    (tmp_path / "more").mkdir()
    for name in ("V1_2__a.sql", "more/V1.10__b.sql", "V1.9__c.sql"):
        (tmp_path / name).write_text("x")
    command = ["flyway", "-locations=filesystem:.", "migrate"]
    assert ["1.2", "1.9", "1.10"] == flyway.shipped(command, str(tmp_path), "")
    assert ["1.9", "1.2"] == flyway.applied(["<=1.9"], flyway.ancestors(command, str(tmp_path)))
    for text in ("select 1;\nselect 2;\n", "\ufeffselect 1;\r\nselect 2;"):
        (tmp_path / "V1_2__a.sql").write_text(text, newline="")
        assert "-593479011" == flyway.sums(command, str(tmp_path))["1.2"]  # CRC-32 of "select 1;select 2;"


@pytest.mark.parametrize(
    ("command", "tool"),
    [
        ("{bin}/sqitch deploy", "sqitch"),
        ("/opt/liquibase/liquibase update", "liquibase"),
        ("dbmate -d db/migrate up", "sql"),
        ("pgroll start {release}/files/db/1.json", "pgroll"),
        ("python manage.py migrate", "django"),
        ("migrate -path db up", ""),
    ],
)
def test_a_command_tells_its_tool(command: str, tool: str) -> None:
    """Except where its name is any word's."""
    assert tool == schema.tool_of(schema.Schema(database="d", migrate=command))


def test_every_tool_that_may_be_said_is_there() -> None:
    """Each has the same interface."""
    assert set(schema.TOOLS) == set(TOOLS)
    needed: set[Any] = {"TABLE", "REVISION", "GAP", "shipped", "ancestors", "applied", "texts"}
    assert {} == {name: needed - set(vars(tool)) for name, tool in TOOLS.items() if needed - set(vars(tool))}
