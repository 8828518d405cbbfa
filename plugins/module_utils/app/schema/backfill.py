# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backfill as a unit of this node: begun unless it runs or is done, and waited for."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import time
from types import ModuleType
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema import backfilling, lease, psql, state
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.lease import hold
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.psql import DatabaseError, Session, literal
from ansible_collections.nodewise.cluster.plugins.module_utils.host import failure, program, text
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import write_all
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import PYTHON, environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import Unit

PARTS: list[ModuleType] = [failure, text, program, psql, lease, backfilling]
POLL_S = 0.5
AGAIN = "update nodewise.backfill set last = null, done = null, scanned = 0, rows = 0, chunks = 0, begun = now()"


def perform(given: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Return changed and how far it came; it goes on when the wait is over. DatabaseError where its unit failed."""
    schema, began = given["schema"], time.monotonic()
    with Session(schema["database"], schema["password"], f"{state.OURS} {schema['service']} observe") as session:
        now = state.backfilled(session, schema)
        done = bool(now and now["done"]) and state.checked(session, schema)
        if dry or done:
            return {"changed": not done, "backfill": now}
        if now and now["done"]:
            again(session, schema)
            now = None
        unit = Unit(f"nodewise-{schema['service']}-backfill")
        begin(unit, schema)
        while not (now and now["done"]) and time.monotonic() - began < schema["backfill"]["wait"]:
            time.sleep(POLL_S)
            now = state.backfilled(session, schema)
            if unit.state().active == "failed":
                said = unit.last_words(time.time() - (time.monotonic() - began) - 1)
                raise DatabaseError(f"the backfill ended: {said[-1] if said else 'it said nothing'}")
    return {"changed": True, "backfill": now}


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
