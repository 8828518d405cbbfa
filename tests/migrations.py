"""The same migrations of one service, as each migration tool has them: 1 makes a table, 2 adds columns to it, 3 drops one."""

from __future__ import annotations

import json
from pathlib import Path

from tests.orders import ADD, CREATE, DROP

SQL = {"create": CREATE, "split": ADD, "drop": DROP}
STEPS = list(enumerate(SQL.items(), 1))
PLANNED = "2026-01-01T00:00:00Z Me <me@example.org> # why"
NS = "http://www.liquibase.org/xml/ns/dbchangelog"
XML = f"""<databaseChangeLog xmlns="{NS}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="{NS} {NS}/dbchangelog-latest.xsd">
{{}}
</databaseChangeLog>
"""
SPLIT = """<changeSet id="split" author="me" labels="expand"><sql>{}</sql></changeSet>"""


def golang_migrate(files: Path, last: int) -> None:
    """Numbered files, up and down."""
    for number, (name, sql) in STEPS[:last]:
        _write(files / f"db/{number:06}_{name}.up.sql", f"{sql};\n")
        _write(files / f"db/{number:06}_{name}.down.sql", "select 1;\n")


def flyway(files: Path, last: int) -> None:
    """Versions; and what is run again each time, which has none."""
    for number, (name, sql) in STEPS[:last]:
        _write(files / f"db/V{number}__{name}.sql", f"{sql};\n")
    _write(files / "db/R__views.sql", "create or replace view v as select 1;\n")


def sqitch(files: Path, last: int) -> None:
    """A plan with tags, and a script for each change, which has its transaction itself."""
    lines = ["%syntax-version=1.0.0", "%project=orders", ""]
    for number, (name, sql) in STEPS[:last]:
        needs = f"[{list(SQL)[number - 2]}] " if number > 1 else ""
        lines += [f"{name} {needs}{PLANNED}", *([f"@expand {PLANNED}"] if number == 2 else [])]
        _write(files / f"deploy/{name}.sql", f"-- Deploy orders:{name} to pg\nbegin;\n{sql};\ncommit;\n")
    _write(files / "sqitch.plan", "\n".join(lines) + "\n")
    _write(files / "sqitch.conf", "[core]\n\tengine = pg\n")


def liquibase(files: Path, last: int) -> None:
    """A changelog in XML that includes one in SQL; labels tell the phases."""
    _write(files / "db/create.sql", f"--liquibase formatted sql\n\n--changeset me:create labels:expand\n{CREATE};\n")
    _write(files / "db/drop.sql", f"--liquibase formatted sql\n--changeset me:drop labels:contract\n{DROP};\n")
    include = '<include file="{}" relativeToChangelogFile="true"/>'
    parts = [include.format("create.sql"), SPLIT.format(ADD), include.format("drop.sql")]
    _write(files / "db/changelog.xml", XML.format("\n".join(parts[:last])))


def dbmate(files: Path, last: int) -> None:
    """Two folders, so that contract is a command of its own."""
    for number, (name, sql) in STEPS[:last]:
        folder = "post_migrate" if name == "drop" else "migrate"
        _write(files / f"db/{folder}/{number:014}_{name}.sql", f"-- migrate:up\n{sql};\n\n-- migrate:down\nselect 1;\n")
    (files / "db/post_migrate").mkdir(exist_ok=True)


def pgroll(files: Path, last: int) -> None:
    """Operations in JSON; contract is a phase of each of them."""
    column = {"name": "first", "type": "text", "nullable": True}
    operations = [{"sql": {"up": CREATE}}, {"add_column": {"table": "orders", "column": column}}, {"sql": {"up": DROP}}]
    for number, (name, _sql) in STEPS[:last]:
        _write(files / f"db/{number:02}_{name}.json", json.dumps({"name": name, "operations": [operations[number - 1]]}))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
