# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backfill as a unit of this node: begun unless it runs or is done, waited for, and asked to pause, go on or end."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import time
from types import ModuleType
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import backfilling, lease, psql, state
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.backfilling import patiently
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.lease import hold
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session, literal
from ansible_collections.nodewise.cluster.plugins.module_utils.host import failure, program, text
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import write_all
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import PYTHON, environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import Unit

PARTS: list[ModuleType] = [failure, text, program, psql, lease, backfilling]
POLL_S = 0.5
SEEN_S = 15.0  # seconds in which it has to do what it is asked for: it looks between two chunks
ASKED = {"pause": "pause", "resume": "run", "cancel": "cancel"}
ASK = (
    "update nodewise.backfill set asked = coalesce({asked}, asked), rate = coalesce({rate}, rate) where id = {id} and done is null"
)
CANCELLED = "it was cancelled; to have it go on: ansible-playbook playbooks/backfill.yml -e nodewise_backfill=resume"
AGAIN = "update nodewise.backfill set last = null, done = null, scanned = 0, rows = 0, chunks = 0, begun = now()"


def perform(given: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Have its unit run unless all is done, and return changed. DatabaseError where it was cancelled."""
    schema = given["schema"]
    with Session(schema["database"], schema["password"], f"{state.OURS} {schema['service']} observe") as session:
        now = state.backfilled(session, schema)
        done = bool(now and now["done"]) and state.checked(session, schema)
        if dry or done:
            return {"changed": not done, "backfill": now}
        if now and now["done"]:
            again(session, schema)
        elif now:
            refuse_cancelled(now)
        begin(unit_of(schema), schema)
    return {"changed": True}


def wait(given: dict[str, Any]) -> dict[str, Any]:
    """Return how far it came once it is done, or the wait is over; it goes on then. DatabaseError where its unit failed.

    Nobody has to hold the node meanwhile: whoever waits may die with its controller, and the next one waits for the same unit.
    """
    schema, began = given["schema"], time.monotonic()
    unit = unit_of(schema)

    def look(session: Session) -> dict[str, Any]:
        while True:
            now = state.backfilled(session, schema)
            if now:
                refuse_cancelled(now)
            if (now and now["done"]) or time.monotonic() - began > schema["backfill"]["wait"]:
                return {"backfill": now}
            if unit.state().active == "failed":
                said = unit.last_words(time.time() - (time.monotonic() - began) - 1)
                raise DatabaseError(f"the backfill ended: {said[-1] if said else 'it said nothing'}")
            time.sleep(POLL_S)

    found: dict[str, Any] = patiently(look, schema["database"], schema["password"], f"{state.OURS} {schema['service']} observe")
    return found


def refuse_cancelled(now: dict[str, Any]) -> None:
    """Raise DatabaseError where somebody wanted it to end."""
    if now["asked"] == "cancel" and not now["done"]:
        raise DatabaseError(CANCELLED)


def unit_of(schema: dict[str, Any]) -> Unit:
    """Return its unit."""
    return Unit(f"nodewise-{schema['service']}-backfill")


def control(given: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Ask a backfill to `pause`, `resume` or `cancel`, or for another rate, and return how far it came once it was seen to do so.

    Resumed, it is begun on this node where it runs on none. DatabaseError where there is none, it is done, or it does not obey.
    """
    schema, asked = given["schema"], ASKED.get(given["ask"], "")
    if not schema or not schema["backfill"]:
        raise DatabaseError("nodewise_schema has no backfill")
    if given["rate"] is not None and given["rate"] <= 0:
        raise DatabaseError(f"the rate is {given['rate']:g}; expected rows a second, more than 0")
    with Session(schema["database"], schema["password"], f"{state.OURS} {schema['service']} observe") as session:
        now = state.backfilled(session, schema)
        if not now or (now["done"] and (asked or given["rate"])):
            raise DatabaseError("this backfill is done" if now else "this backfill was not begun: an upgrade begins it")
        if dry or not (asked or given["rate"]):
            return {"changed": asked not in ("", now["asked"]) or given["rate"] not in (None, now["most"]), "backfill": now}
        rate = "null" if given["rate"] is None else str(float(given["rate"]))
        words = {"asked": literal(asked) if asked else "null", "rate": rate, "id": literal(schema["backfill"]["id"])}
        session.ask(ASK.format(**words))
        if asked == "run":
            begin(unit_of(schema), schema)
        until = time.monotonic() + SEEN_S
        while not _obeys(now := state.backfilled(session, schema) or {}, asked):
            if time.monotonic() > until:
                raise DatabaseError(f"it was asked to {given['ask']}, and {SEEN_S:g} s later it is in the state {now['state']}")
            time.sleep(POLL_S / 5)
    return {"changed": True, "backfill": now}


def _obeys(now: dict[str, Any], asked: str) -> bool:
    """Whether it does what it was asked for: one that waits for its hours or for a replica runs, as far as one can ask."""
    if asked == "run":
        return bool(now["done"] or (now["running"] and now["state"] not in ("pause", "cancel")))
    return not asked or not now["running"] or (asked == "pause" and now["state"] == "pause")


def again(session: Session, schema: dict[str, Any]) -> None:
    """Have all rows looked at once more: old members wrote some since the backfill was done, as after a rollback."""
    hold(session)
    session.ask(f"{AGAIN} where id = {literal(schema['backfill']['id'])}; select to_json(pg_advisory_unlock({lease.KEY}))")


def begin(unit: Unit, schema: dict[str, Any]) -> None:
    """Start the unit unless it is active: its program is laid down, as the node has none of ours."""
    if unit.state().active in ("active", "activating"):
        return
    folder = prepare(schema)
    unit.forget_failures()
    command = ["systemd-run", "--quiet", f"--unit={unit.name}", "--property=Restart=on-failure", "--property=RestartSec=2"]
    command += ["--property=StartLimitBurst=5", "--property=StartLimitIntervalSec=60"]
    command += [f"--property=EnvironmentFile={folder}/secret.env", f"--setenv=PYTHONPATH={folder}"]
    command += [PYTHON, "-m", backfilling.__name__, f"{folder}/backfill.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment())
    if done.returncode:
        raise DatabaseError(f"the backfill could not be begun: {done.stderr.strip()}")


def prepare(schema: dict[str, Any]) -> str:
    """Write program and settings below the service's root, and return the folder; the password is in a file of its own."""
    folder = os.path.join(schema["root"], "backfill")
    programs = {os.path.join(folder, *part.__name__.split(".")) + ".py": inspect.getsource(part) for part in PARTS}
    about = {**schema["backfill"], "database": schema["database"], "service": schema["service"]}
    secret = schema["password"].replace("\\", "\\\\").replace('"', '\\"')
    texts = {**programs, f"{folder}/backfill.json": json.dumps(about)}
    files = {path: {"content": text, "mode": "0644"} for path, text in texts.items()}
    files[f"{folder}/secret.env"] = {"content": f'PGPASSWORD="{secret}"\n' if secret else "", "mode": "0600"}
    for path in programs:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    write_all([], files)
    return folder
