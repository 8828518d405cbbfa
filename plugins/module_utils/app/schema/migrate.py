# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user's own command that changes the schema: under the lease of the database, with a lock timeout, and watched."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import state
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.lease import LINGERS_S, LOOK_S, hold
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session, complaint, literal
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import end_group
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment

POLL_S = 0.05
MOST_S = 30.0  # seconds between two tries, at most
LOCKED = ("lock timeout", "55P03", "LockNotAvailable", "deadlock detected")
# Sessions of the command are told by the name that libpq's environment gives them, which shows that it takes that environment.
WATCH = """select json_build_object('seen', exists(select from pg_stat_activity where application_name = {mark}),
 'blockers', (select coalesce(json_agg(distinct jsonb_build_object('pid', b.pid, 'user', b.usename,
 'application', b.application_name, 'query', left(b.query, 120),
 'age_s', round(extract(epoch from now() - b.xact_start)))), '[]') from pg_stat_activity a
 cross join unnest(pg_blocking_pids(a.pid)) p join pg_stat_activity b on b.pid = p and b.application_name is distinct from {mark}
 where a.application_name = {mark} or (a.usename = current_user and a.backend_start > {since}::timestamptz)))"""
# One that goes on after whoever watched it was killed: nobody holds the lease of the database for it.
AT_WORK = """select coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'query', left(query, 120),
 'age_s', round(extract(epoch from now() - backend_start)))), '[]') from pg_stat_activity
 where datname = current_database() and application_name ~ {mark}"""


def perform(given: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Return changed, tries and whether the lock timeout was seen to reach the command. DatabaseError says what was in the way."""
    schema, phase, version = given["schema"], given["phase"], given["version"]
    with Session(schema["database"], schema["password"], f"{state.OURS} {schema['service']} {phase} {version}") as session:
        hold(session)
        refuse_another(session, schema)
        refuse_strangers(session, schema, phase)
        wanted = state.shipped(schema, phase, version)
        if wanted and version in state.held_against(schema, state.revisions(session, schema))[f"{phase}ed"]:
            return {"changed": False, "tries": 0, "timeout_seen": None}
        state.refuse_trouble(session, schema, version)
        if dry:
            return {"changed": True, "tries": 0, "timeout_seen": None}
        ran = _run(session, schema, phase, version)
        refuse_lie(session, schema, phase, version)
        if left := state.replayed(session):
            raise DatabaseError(f"{phase} is done, and replicas have not replayed it: {_told(left)}")
    return {"changed": True, **ran}


def refuse_another(session: Session, schema: dict[str, Any]) -> None:
    """Raise DatabaseError where a command of an earlier run is still at work; one that was just ended may be for a moment."""
    until = time.monotonic() + LINGERS_S
    asked = AT_WORK.format(mark=literal(f"^{state.OURS}-{schema['service']}-[0-9a-f]{{8}}$"))
    while found := session.ask(asked):
        if time.monotonic() > until:
            raise DatabaseError(f"a command of an earlier run is still at work: {_told(found)}; wait until it has ended, or end it")
        time.sleep(LOOK_S)


def refuse_strangers(session: Session, schema: dict[str, Any], phase: str) -> None:
    """Raise DatabaseError where somebody is connected whom nobody declared, and who may need what contract drops."""
    found = state.undeclared(session, schema) if phase == "contract" else []
    if found:
        raise DatabaseError(
            f"sessions of no declared consumer are connected: {_told(found)}; name them in nodewise_schema.consumers"
        )


def refuse_lie(session: Session, schema: dict[str, Any], phase: str, version: str) -> None:
    """Raise DatabaseError where the command ended well, and the database has not what the release ships."""
    rows = state.revisions(session, schema)
    held = state.held_against(schema, rows)
    if version not in held[f"{phase}ed"]:
        wanted = state.shipped(schema, phase, version)
        raise DatabaseError(
            f"{phase} ended with 0, and the database is at {', '.join(rows) or 'no revision'}; "
            f"{version} ships {', '.join(wanted[-3:]) or held['unread'].get(version, 'nothing')}"
        )


def _run(session: Session, schema: dict[str, Any], phase: str, version: str) -> dict[str, Any]:
    """Try until it ends well; again, later each time, where a lock was in the way, unless an index was left that is there then."""
    before = session.ask(state.INVALID)
    for tries in range(1, schema["retries"] + 2):
        code, said, seen, blockers = _once(session, schema, phase, version)
        if code == 0:
            return {"tries": tries, "timeout_seen": seen}
        locked = any(word in said for word in LOCKED)
        why = _last(said, schema["password"]) or f"it ended with {code}"
        left = [name for name in session.ask(state.INVALID) if name not in before]
        if left or not locked or tries > schema["retries"]:
            held = f"; it was blocked by {_told(blockers)}" if blockers else ""
            index = f"; it left the index {', '.join(left)}, which is invalid: drop it" if left else ""
            raise DatabaseError(f"{phase} failed{f' {tries} times' if tries > 1 else ''}: {why}{held}{index}")
        time.sleep(min(MOST_S, 0.5 * 2**tries))
    raise AssertionError


def _once(session: Session, schema: dict[str, Any], phase: str, version: str) -> tuple[int, str, bool, list[dict[str, Any]]]:
    """Return exit code and output of the command, whether a session of it was seen, and who was last in its way."""
    mark = f"{state.OURS}-{schema['service']}-{uuid.uuid4().hex[:8]}"
    since = session.ask("select to_json(clock_timestamp())")
    asked = WATCH.format(mark=literal(mark), since=literal(since))
    until, seen = time.monotonic() + schema["timeout"], False
    blockers: list[dict[str, Any]] = []
    with tempfile.TemporaryFile() as output:
        process = begun(schema, phase, version, mark, output)
        try:
            while process.poll() is None:
                now = session.ask(asked)
                seen, blockers = seen or now["seen"], now["blockers"] or blockers
                if time.monotonic() > until:
                    raise DatabaseError(f"{phase} did not end within {schema['timeout']:g} s, and was ended")
                time.sleep(POLL_S if seen else POLL_S / 10)
        finally:
            if process.poll() is None:  # nobody would hold the lease of the database for it any more
                end_group(process)
        output.seek(0)
        return process.returncode, output.read().decode("utf-8", "replace"), seen, blockers


def begun(schema: dict[str, Any], phase: str, version: str, mark: str, output: Any) -> subprocess.Popen[bytes]:
    """Start the command of a phase as the service's user, in the folder of the release's files."""
    return started(schema, state.filled(schema["commands"][phase], schema, version), version, mark, (output, subprocess.STDOUT))


def started(schema: dict[str, Any], command: list[str], version: str, mark: str, out: tuple[Any, Any]) -> subprocess.Popen[bytes]:
    """Start a command of the user's, with the way to the database in its environment."""
    env = environment(
        PGAPPNAME=mark,
        PGOPTIONS=f"-c lock_timeout={int(schema['lock_timeout'] * 1000)}",
        HOME="/nonexistent",
        NODEWISE_DATABASE=schema["database"],
        **({"PGPASSWORD": schema["password"]} if schema["password"] else {}),
        **schema["environment"],
    )
    env["PATH"] = f"{state.filled(['{bin}'], schema, version)[0]}:{env['PATH']}"
    user = ["runuser", "-u", schema["user"], "--"] if schema["user"] and os.geteuid() == 0 else []
    to: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out[0], "stderr": out[1], "start_new_session": True}
    try:
        return subprocess.Popen([*user, *command], env=env, cwd=state.files_of(schema, version), **to)
    except OSError as error:
        raise DatabaseError(f"{error.filename or command[0]}: {error.strerror}") from None


def _last(said: str, password: str) -> str:
    line = complaint(said)
    return line.replace(password, "…") if password else line


def _told(found: list[dict[str, Any]]) -> str:
    return "; ".join(", ".join(f"{key} {value}" for key, value in one.items() if value not in (None, "")) for one in found[:5])
