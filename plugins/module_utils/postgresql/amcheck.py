# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Having pg_amcheck read all tables and indexes of the node's own PostgreSQL, and telling damage from not having looked."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import (
    Access,
    PostgresqlError,
    complaint,
)

DAMAGED = 2  # exit code of pg_amcheck
_SHOWN = 5
_PAUSE = 0.2
_ABOUT = """select json_build_object('replica', pg_is_in_recovery(), 'databases',
  (select json_agg(datname order by datname) from pg_database where datallowconn and not datistemplate))"""
_THERE = "select to_json(exists(select from pg_extension where extname = 'amcheck'))"
_INSTALL = "create extension if not exists amcheck schema pg_catalog"


class Damaged(Failure):
    """What pg_amcheck found, in a few lines."""


def check(parameters: dict[str, Any], may_install: bool) -> dict[str, Any]:
    """Return what postgresql_amcheck returns; Damaged where something is wrong, PostgresqlError where that could not be seen."""
    began = time.monotonic()
    access = Access(parameters)
    port = access.member(parameters["member"]).port
    about = access.local_sql(_ABOUT, port=port)
    until = began + parameters["deadline"]
    installed = _provide(access, port, about, may_install, until)
    found = _run(access, port, about["databases"], max(1.0, until - time.monotonic()))
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise Damaged(f"pg_amcheck found damage: {'; '.join(found[:_SHOWN])}{more}")
    return {"databases": about["databases"], "installed": installed, "seconds": round(time.monotonic() - began, 3)}


def _provide(access: Access, port: int, about: dict[str, Any], may_install: bool, until: float) -> list[str]:
    """See that every database has the extension; a primary gets it, and a replica waits until that has come from there."""
    missing = _without(access, port, about["databases"])
    if about["replica"]:
        while missing and time.monotonic() < until:
            time.sleep(_PAUSE)
            missing = _without(access, port, missing)
    elif may_install:
        for name in missing:
            access.local_sql(_INSTALL, database=name, port=port)
        return missing
    if missing:
        raise PostgresqlError(f"the extension amcheck is missing in {', '.join(missing)}; on the primary: create extension amcheck")
    return []


def _without(access: Access, port: int, names: list[str]) -> list[str]:
    return [name for name in names if not access.local_sql(_THERE, database=name, port=port)]


def _run(access: Access, port: int, names: list[str], limit: float) -> list[str]:
    """Return the lines that pg_amcheck found damage in; PostgresqlError where it could not look."""
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    where = ["-p", str(port), "-U", access.os_user, "-w", *(["-h", access.socket_dir] if access.socket_dir else [])]
    command = [*access.as_superuser(), access.program("pg_amcheck"), "--heapallindexed", *where]
    command += [f"--database={name}" for name in quoted]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit, check=False, env=environment(), cwd="/")
    except subprocess.TimeoutExpired:
        raise PostgresqlError(f"pg_amcheck did not end within {limit:.0f} s; give it more with deadline") from None
    except OSError as error:
        raise PostgresqlError(f"{error.filename or 'pg_amcheck'}: {error.strerror}") from None
    printed, said = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    if done.returncode not in (0, DAMAGED):
        raise PostgresqlError(f"pg_amcheck: {complaint(said) or f'exit code {done.returncode}'}")
    return (_findings(printed) or ["it does not say what"]) if done.returncode == DAMAGED else []


def _findings(printed: str) -> list[str]:
    """Return one line for each finding; pg_amcheck writes where it is, and indented below that what it is."""
    found: list[str] = []
    for line in printed.splitlines():
        if found and line[:1].isspace():
            found[-1] += f" {line.strip()}"
        elif line.strip():
            found.append(line.strip())
    return found
