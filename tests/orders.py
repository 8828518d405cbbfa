# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small service that keeps orders, and its migrations with Alembic in two branches.

1.1.0 splits a column in two, writes all three while the old one is there, and drops that in contract.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

INI = "[alembic]\nscript_location = %(here)s/migrations\n"
ENV = """
import importlib.util
import os
from alembic import context
from sqlalchemy import create_engine, pool

driver = "psycopg2" if importlib.util.find_spec("psycopg2") else "psycopg"
url = os.environ["NODEWISE_DATABASE"].replace("postgresql://", f"postgresql+{driver}://", 1)
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
"""
REVISION = """
from alembic import op

revision = {name!r}
down_revision = {down!r}
branch_labels = {label!r}
depends_on = {depends!r}


def upgrade() -> None:
    {body}
"""
CREATE = "create table orders (id bigserial primary key, name text not null)"
ADD = "alter table orders add column first text, add column last text"
DROP = "alter table orders drop column name"
OLD = {  # of 1.0.0: name -> (down, label, depends, SQL)
    "a1": (None, None, None, ""),
    "e1": ("a1", "expand", None, CREATE),
    "c1": ("a1", "contract", None, ""),
}
NEW = {**OLD, "e2": ("e1", None, None, ADD), "c2": ("c1", None, "e2", DROP)}


MANAGE = """
import os, sys
from urllib.parse import parse_qsl, urlsplit
from django.conf import settings
from django.core.management import execute_from_command_line

url = urlsplit(os.environ["NODEWISE_DATABASE"])
database = {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "HOST": url.hostname, "PORT": url.port}
database |= {"USER": url.username, "OPTIONS": dict(parse_qsl(url.query))}
settings.configure(INSTALLED_APPS=["stock", "shop"], DATABASES={"default": database})
execute_from_command_line(sys.argv)
"""
MIGRATION = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = {before!r}
    operations = [{operations}]
"""
KEY = '("id", models.BigAutoField(primary_key=True, serialize=False))'
SHOP: dict[str, dict[str, tuple[list[tuple[str, str]], str]]] = {  # app -> migration -> those before it, what it does
    "stock": {"0001_initial": ([], f'migrations.CreateModel("Item", [{KEY}])')},
    "shop": {
        "0001_initial": ([("stock", "0001_initial")], f'migrations.CreateModel("Order", [{KEY}, ("name", models.TextField())])'),
        "0002_split": ([("shop", "0001_initial")], 'migrations.AddField("order", "first", models.TextField(null=True))'),
        "0003_drop": ([("shop", "0002_split")], 'migrations.RemoveField("order", "name")'),
    },
}


def write(files: Path, revisions: dict[str, tuple[str | None, str | None, str | None, str]]) -> None:
    """Write the project of a release to a folder."""
    versions = files / "migrations/versions"
    versions.mkdir(parents=True)
    (files / "alembic.ini").write_text(INI)
    (files / "migrations/env.py").write_text(ENV)
    for name, (down, label, depends, sql) in revisions.items():
        concurrently = "concurrently" in sql
        ran = f"op.execute({sql!r})" if sql else "pass"
        body = f"with op.get_context().autocommit_block():\n        {ran}" if concurrently else ran
        text = REVISION.format(name=name, down=down, label=label, depends=depends, body=body)
        (versions / f"{name}_.py").write_text(text)


def write_django(files: Path, last: str = "0003") -> None:
    """Write a project of Django to a folder, whose app has the migrations up to one."""
    for app, migrations in SHOP.items():
        folder = files / app / "migrations"
        folder.mkdir(parents=True)
        for package in (folder.parent, folder):
            (package / "__init__.py").touch()
        for name, (before, operations) in migrations.items():
            if name[:4] <= last:
                (folder / f"{name}.py").write_text(MIGRATION.format(before=before, operations=operations))
    (files / "manage.py").write_text(MANAGE)


def stage(root: Path, version: str, revisions: dict[str, tuple[str | None, str | None, str | None, str]]) -> None:
    """Lay a release down as a node has it."""
    folder = root / "releases" / version
    write(folder / "files", revisions)
    (folder / "release.json").write_text(json.dumps({"version": version}))


SERVICE = """#!/usr/bin/python3
import http.server, json, os, sys, time

VERSION, STARTED = {version!r}, time.time()
AT_START = {at_start!r}


def ask(statement, *values):
    import psycopg2  # a node may get it later
    with psycopg2.connect(os.environ["DATABASE"]) as line, line.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


def add(name):
    if VERSION == "1.0.0":
        return ask("insert into orders (name) values (%s) returning id", name)
    first, last = name.split(" ")
    import psycopg2
    try:
        return ask("insert into orders (name, first, last) values (%s, %s, %s) returning id", name, first, last)
    except psycopg2.errors.UndefinedColumn:
        return ask("insert into orders (first, last) values (%s, %s) returning id", first, last)


def get(number):
    if VERSION == "1.0.0":
        return ask("select name from orders where id = %s", number)
    return ask("select coalesce(first || ' ' || last, to_jsonb(orders) ->> 'name') from orders where id = %s", number)


class Orders(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        what, _slash, word = self.path[1:].partition("/")
        made = {{
            "health": lambda: "ok",
            "version": lambda: json.dumps({{"version": VERSION, "started": STARTED}}),
            "add": lambda: add(word.replace("+", " ")),
            "get": lambda: get(word),
        }}
        try:
            status, text = 200, str(made[what]()).encode()
        except Exception as error:
            status, text = 500, str(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if AT_START:
    ask("do $$ begin " + AT_START + "; end $$; select 1")
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Orders).serve_forever()
"""


def release(folder: Path, version: str, revisions: dict[str, Any], at_start: str = "") -> dict[str, Any]:
    """A release with migrations of Alembic."""
    return release_of(folder, version, lambda files: write(files, revisions), at_start)


def release_of(folder: Path, version: str, fill: Callable[[Path], None], at_start: str = "") -> dict[str, Any]:
    """A release as a tar in a folder, as `releases` has it; `fill` writes migrations, `at_start` is SQL of the service."""
    made = io.BytesIO()
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(fileobj=made, mode="w") as archive:
        files = Path(scratch)
        fill(files)
        program = files / "orders"
        program.write_text(SERVICE.format(version=version, at_start=at_start))
        program.chmod(0o755)
        for path in sorted(files.iterdir()):
            archive.add(path, path.name)
    digest = hashlib.sha256(made.getvalue()).hexdigest()
    path = folder / f"orders-{version}-{digest[:8]}.tar"
    path.write_bytes(made.getvalue())
    artifact = {"kind": "tar", "url": f"controller://{path}", "sha256": digest}
    return {"artifacts": [artifact], "binaries": {"orders": "orders"}}
