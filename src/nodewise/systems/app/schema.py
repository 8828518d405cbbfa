# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the schema of a service's database is changed, `nodewise_schema`: its fields, and what is wrong with one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from nodewise.errors import UsageError
from nodewise.fields import Named, located
from nodewise.systems.app.description import Questions, Seconds, words
from nodewise.systems.app.resolved import told
from nodewise.text import nearest

ROOT = "nodewise_schema"
# Adapters in module_utils/app/schema, and the word in a command that tells them.
TOOLS = {
    "alembic": "alembic",
    "django": "manage.py",
    "flyway": "flyway",
    "golang-migrate": "",  # its program is called migrate, as much else is
    "liquibase": "liquibase",
    "pgroll": "pgroll",
    "sql": "dbmate",
    "sqitch": "sqitch",
}
FOLDERS = ("sql", "pgroll")  # they do not find their files by the words of the command
PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@|\bpassword\s*=")
HOURS = re.compile(r"(([01]\d|2[0-3]):[0-5]\d)-(?!\1)([01]\d|2[0-3]):[0-5]\d")
Command = Annotated[list[str] | str, Named("text or list")]


class Backfill(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Rows that are filled in by chunks, each of which commits together with how far it came."""

    table: str  # with its schema where that is not public
    key: str  # a column whose values are unique and ordered, with an index
    set: dict[str, str]  # column -> SQL expression of the row's columns
    where: str = ""  # SQL: rows for which it does not hold are left as they are
    chunk: Annotated[int, Meta(ge=1)] = 1000  # rows that are looked at in one transaction
    rate: Annotated[float | None, Named("number, more than 0")] = None  # rows a second, at most
    max_lag: Seconds = 10.0  # seconds that a replica may be behind: until then it waits
    hours: str = ""  # when it may run by the node's clock, such as 22:00-06:00
    wait: Seconds = 3600.0  # seconds that the upgrade waits for it; then the run is paused, and it goes on


class Consumer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Something else that uses the database."""

    user: str = ""  # whose sessions are its own, by the database's user
    application: str = ""  # or by the beginning of their application_name
    until: Questions = msgspec.field(default_factory=list)  # what holds when it no longer needs the old shape


class Schema(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How a release changes the schema of its database: {release} is its folder, {bin} that of its programs."""

    database: str  # as psql takes it: a name, or postgresql://user@host/name without a password; {database} in commands
    password: str = ""  # Ansible's variable that has it, from a vault
    migrate: Command = ""  # the one-line form: what is run before the first member is changed
    expand: Command = ""  # instead of migrate: what is run before the first member, and takes nothing away
    contract: Command = ""  # what is run last, when approved: it may drop what no member needs any more
    backfill: Annotated[Backfill | None, Named("mapping")] = None  # what is filled in when all members run the release
    check: str = ""  # SQL that is true when the backfill is right
    readable: str = ""  # SQL that is true when older releases can read every row: a rollback is refused where it is not said to be
    # phase -> what a command of your own does, in the tool's words: read, and asked for its SQL, but never run on the database
    same_as: dict[str, Command] = msgspec.field(default_factory=dict)
    tool: str = ""  # one of the table above; told by the command unless it is said
    folder: str = ""  # of tools sql and pgroll: their files, in the release
    post_folder: str = ""  # of tool sql: the files of contract
    revision: str = ""  # SQL for the revisions that the database has, a row each; the tool's own table unless it is said
    runs_on: Literal["node", "controller"] = "node"  # where commands are run: on the first member, or on the controller
    environment: dict[str, str] = msgspec.field(default_factory=dict)  # of the commands
    consumers: dict[str, Consumer] = msgspec.field(default_factory=dict)  # what else uses the database, by name
    lock_timeout: Seconds = 2.0  # seconds that a statement waits for a lock; other sessions wait behind it
    retries: Annotated[int, Meta(ge=0)] = 5  # how often a command is tried again that a lock was in the way of
    timeout: Seconds = 3600.0  # seconds that a command may take


def read(given: object) -> Schema:
    """The description of a schema. Raises UsageError with a line for each thing that is wrong, as that of the service does."""
    try:
        schema = msgspec.convert(given, Schema, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(located(error, Schema, ROOT)) from None
    if wrong := list(problems(schema)):
        raise UsageError("\n".join(f"{ROOT}.{line}" for line in wrong))
    return schema


def problems(schema: Schema) -> Iterator[str]:
    """What the types of the fields do not tell."""
    found = ("both" if schema.expand else "migrate") if schema.migrate else "expand" if schema.expand else "neither"
    tool, hours = tool_of(schema), schema.backfill.hours if schema.backfill else ""
    phases = [phase for phase in ("migrate", "expand", "contract") if getattr(schema, phase)]
    said = {
        "database: expected what psql connects to": not schema.database,
        "database: a password is named, never written: password: VARIABLE": PASSWORD.search(schema.database),
        f"migrate: expected either migrate or expand, found {found}": found in ("both", "neither"),
        "contract: it goes with expand; migrate is for what only expands": schema.contract and not schema.expand,
        f"tool: {schema.tool!r} is unknown{nearest(schema.tool, TOOLS)}; expected one of {', '.join(TOOLS)}": (
            schema.tool and schema.tool not in TOOLS
        ),
        f"tool: nothing in the command tells it; expected one of {', '.join(TOOLS)}": not (schema.tool or tool),
        f"same_as: expected {' and '.join(phases)}, found {' and '.join(schema.same_as)}": (
            schema.same_as and set(schema.same_as) != set(phases)
        ),
        f"folder: the tool {tool} needs the folder of its files, such as {{release}}/files/db/migrate": (
            tool in FOLDERS and not schema.folder
        ),
        "post_folder: contract needs the folder of its files": tool == "sql" and schema.contract and not schema.post_folder,
        "check: a backfill needs one, as rows that old members write after it are found by nothing else": (
            schema.backfill and not schema.check
        ),
        "backfill.set: expected at least one column": schema.backfill and not schema.backfill.set,
        f"backfill.hours: expected hours such as 22:00-06:00, found {hours!r}": hours and not HOURS.fullmatch(hours),
    }
    yield from (line for line, wrong in said.items() if wrong)
    for name, one in schema.consumers.items():
        if bool(one.user) == bool(one.application):
            yield f"consumers.{name}: expected either user or application, by which its sessions are told"


def tool_of(schema: Schema) -> str:
    """The tool that is named, or that the command tells; empty where it does not."""
    used = words(next(iter(schema.same_as.values()), schema.migrate or schema.expand))
    return schema.tool or next((name for name, word in TOOLS.items() if word and any(word in one for one in used)), "")


def resolved(given: object, own: Mapping[str, Any], service: Mapping[str, Any]) -> dict[str, Any]:
    """What modules need of a schema; nothing without one. `service` is the description as the role reads it.

    Raises UsageError, and KeyError with the name of a password's variable that has no value.
    """
    if not given:
        return {}
    schema = read(given)
    password = own.get(schema.password) if schema.password else ""
    if password is None or (schema.password and not password):
        raise KeyError(schema.password)
    commands = {"expand": schema.migrate or schema.expand, "contract": schema.contract}
    read_as = {"expand" if phase == "migrate" else phase: command for phase, command in schema.same_as.items()}
    plain = (
        *("database", "check", "readable", "folder", "post_folder", "revision", "environment", "runs_on"),
        *("lock_timeout", "retries", "timeout"),
    )
    return {
        **{key: getattr(schema, key) for key in plain},
        "service": service["name"],
        "user": service["user"] if schema.runs_on == "node" else "",
        "root": service["root"],
        "password": str(password),
        "tool": tool_of(schema),
        "commands": {phase: words(command) for phase, command in commands.items() if command},
        "read_as": {phase: words(command) for phase, command in (read_as or commands).items() if command},
        "members": service["access"]["members"],
        "backfill": {"id": identity(schema.backfill), **msgspec.to_builtins(schema.backfill)} if schema.backfill else None,
        "consumers": [_consumer(name, one) for name, one in schema.consumers.items()],
    }


def _consumer(name: str, one: Consumer) -> dict[str, Any]:
    return {"name": name, "user": one.user, "application": one.application, "until": [told(until) for until in one.until]}


def identity(backfill: Backfill) -> str:
    """What tells a backfill from another: what it fills, and not how quickly."""
    said = [backfill.table, backfill.key, *map("=".join, sorted(backfill.set.items())), backfill.where]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:12]
