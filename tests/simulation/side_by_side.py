"""A service whose releases change a table that they share, and what can be wrong with the new one: as a rehearsal is given it.

1.0.0 writes a column `kind`; 1.1.0 writes `stamp` instead. Expand adds the one, contract drops the other.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import yaml

from nodewise.systems.app.example import digest
from tests.simulation.keeping import HTTP

PASSWORD = "correct-horse-battery"  # noqa: S105  (of a testnet)
URL = "postgresql://kept@database/kept"
# The first node has the database, too; all have what the service and its migrations need.
PREPARE = f"""
first=$(hostname | sed 's/-n[0-9]*$/-n1/')
echo "$(getent ahostsv4 "$first" | awk '{{print $1; exit}}') database" >>/etc/hosts
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
apt-get install -yqq --no-install-recommends python3-psycopg2 postgresql-client >&2
[ "$(hostname)" = "$first" ] || exit 0
apt-get install -yqq --no-install-recommends postgresql >&2
echo "listen_addresses = '*'" >/etc/postgresql/15/main/conf.d/all.conf
echo 'host kept all 0.0.0.0/0 scram-sha-256' >>/etc/postgresql/15/main/pg_hba.conf
systemctl restart postgresql
cd /
runuser -u postgres -- psql -qc "create role kept login password '{PASSWORD}'" -c 'create database kept owner kept'
"""
SERVICE = """#!/usr/bin/python3
import http.server, json, os, socket, sys, threading, time
import psycopg2

VERSION, LEFT = {version!r}, {left!r}
STARTED, OWN = time.time(), threading.local()
NEW = VERSION == "1.1.0" and not (LEFT and socket.gethostname().endswith(LEFT))
COLUMN, VALUE = ("stamp", "now()") if NEW else ("kind", "'text'")
SET = f"insert into kept (key, value, {{COLUMN}}) values (%s, %s, {{VALUE}}) on conflict (key) do update set value = excluded.value"


def ask(statement, *values):
    if not hasattr(OWN, "line"):
        OWN.line = psycopg2.connect(os.environ["DATABASE"])
        OWN.line.autocommit = True
    with OWN.line.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


class Kept(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        about = {{"/health": "ok", "/version": json.dumps({{"version": VERSION, "started": STARTED}})}}
        self.answer(lambda: about.get(self.path) or (ask("select value from kept where key = %s", self.path) or [[None]])[0][0])

    def do_PUT(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.answer(lambda: ask(SET, self.path, text) or "kept")

    def answer(self, made):
        try:
            text = made()
            status = 404 if text is None else 200
        except psycopg2.Error as error:
            status, text = 500, str(error)
        body = (text or "").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Kept).serve_forever()
"""
MIGRATE = """#!/bin/sh
# Applies the files of a folder that the database has not, each with its note in one transaction.
set -e
psql() { command psql -XAtq -v ON_ERROR_STOP=1 -d "$NODEWISE_DATABASE" "$@"; }
psql -c 'set client_min_messages = error' -c 'create table if not exists schema_migrations (version text primary key)'
for file in "$1"/*.sql; do
  version=$(basename "$file" | cut -d_ -f1)
  [ -n "$(psql -c "select 1 from schema_migrations where version = '$version'")" ] ||
    psql -1 -f "$file" -c "insert into schema_migrations values ('$version')"
done
"""
CREATE = "create table kept (key text primary key, value text not null, kind text not null default 'text');\n"
ADD = "alter table kept add column stamp timestamptz;\n"
DROP = "alter table kept drop column kind;\n"


def release(folder: Path, version: str, expand: dict[str, str], contract: dict[str, str], left: str = "") -> dict[str, Any]:
    """A release as a tar in a folder; `left` is how the name of a host ends on which it does as the old one does."""
    made = {"kept": SERVICE.format(version=version, left=left), "migrate": MIGRATE}
    made |= {f"expand/{name}": sql for name, sql in expand.items()} | {f"contract/{name}": sql for name, sql in contract.items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in made.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o755
            archive.addfile(member, io.BytesIO(text.encode()))
    path = folder / f"kept-{version}.tar"
    path.write_bytes(packed.getvalue())
    artifact = {"kind": "tar", "url": f"controller://{path}", "sha256": digest(packed.getvalue())}
    return {"artifacts": [artifact], "binaries": {"kept": "kept", "migrate": "migrate"}}


def scenario(folder: Path, expand: str = ADD, contract: str = DROP, left: str = "") -> Path:
    """The file of a scenario, with all that it names beside it; what is said here is what is wrong with 1.1.0."""
    first = {"1_create.sql": CREATE}
    releases = {
        "1.0.0": release(folder, "1.0.0", first, {"0_none.sql": "select 1;\n"}),
        "1.1.0": release(
            folder, "1.1.0", {**first, "2_expand.sql": expand}, {"0_none.sql": "select 1;\n", "3_contract.sql": contract}, left
        ),
    }
    app = {
        "name": "kept",
        "releases": releases,
        "command": "{bin}/kept 8080",
        "ready": {"http": {"port": 8080, "path": "/health"}},
        "version": {"http": {"port": 8080, "path": "/version"}, "value": "version"},
        "started": {"http": {"port": 8080, "path": "/version"}, "value": "started"},
        "workload": {"get": HTTP, "set": {**HTTP, "method": "PUT", "body": "{value}"}},
        "environment": {"DATABASE": URL},
        "secrets": {"PGPASSWORD": "vault_kept"},
    }
    schema = {
        "database": URL,
        "password": "vault_kept",
        "tool": "sql",
        "folder": "{release}/files/expand",
        "post_folder": "{release}/files/contract",
        "expand": "{bin}/migrate {release}/files/expand",
        "contract": "{bin}/migrate {release}/files/contract",
    }
    # One new member beside old ones, for as long as a soak takes.
    variables = {
        "nodewise_version": "1.0.0",
        "nodewise_app": app,
        "nodewise_schema": schema,
        "vault_kept": PASSWORD,
        "nodewise_soak": 20,
    }
    (folder / "kept.yml").write_text(yaml.safe_dump(variables))
    (folder / "database.sh").write_text(PREPARE)
    said = {
        "name": "side-by-side",
        "cluster": {"system": "app", "vars": "kept.yml", "prepare": "database.sh"},
        "upgrade": {"to": "1.1.0"},
        "workload": {"clients": 6, "rate": 60, "warmup": 12},
        "safety": ["durable", "no_phantom", "monotonic", "linearizable", "traffic", "answered"],
    }
    file = folder / "side-by-side.yml"
    file.write_text(yaml.safe_dump(said, sort_keys=False))
    return file
