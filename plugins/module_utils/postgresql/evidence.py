# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a command says of a backup that another tool made: pgBackRest's own account, or just a time."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import timestamp
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment, home
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

SKEW = 60  # seconds that the clock of the tool's host may be ahead of this one's
EPOCH = re.compile(r"\d{9,10}(\.\d+)?")
ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(?:[.,]\d+)? ?(?:(Z)|([+-]\d\d)(?::?(\d\d))?)")
SHOWN = 120  # characters of what a command said


class EvidenceError(Failure):
    """Why there is no evidence of a backup: what was found, and what was expected."""


def ask(command: str, max_age: float, system: str, now: float, limit: float) -> dict[str, Any]:
    """Run the command; returns tool, label, at (UTC) and age_s of the newest backup. EvidenceError when it proves none.

    `system`: the cluster's system identifier, which pgBackRest's account must be of. `now`: seconds since the epoch.
    """
    tool, label, stop = read(output_of(command, limit), system)
    age = now - stop
    at = timestamp(stop)
    if age < -SKEW:
        raise EvidenceError(f"the newest backup of {tool} ended at {at}, which is in the future; expected clocks that agree")
    if age > max_age:
        raise EvidenceError(
            f"the newest backup of {tool} ended at {at}, {age / 3600:.1f} h ago; expected {max_age / 3600:g} h at most: make one, "
            "or raise nodewise_backup_max_age"
        )
    return {"tool": tool, "label": label, "at": at, "age_s": max(0, round(age))}


def output_of(command: str, limit: float) -> str:
    """Return what the command printed; anything but a good end is a refusal."""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=environment(**home()),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EvidenceError(f"the command had not ended after {limit:g} s; expected an answer") from None
    output, errors = (text.decode("utf-8", "replace").strip() for text in (done.stdout, done.stderr))
    if done.returncode:
        raise EvidenceError(f"the command ended with {done.returncode} ({shown(errors or output)}); expected 0")
    if not output:
        raise EvidenceError("the command printed nothing; expected pgBackRest's info as JSON, or the time of the newest backup")
    return output


def read(text: str, system: str) -> tuple[str, str, float]:
    """Return tool, label and end (seconds since the epoch) of the newest backup that a command's output tells of."""
    if EPOCH.fullmatch(text):
        return "the declared tool", "", float(text)
    if ISO.fullmatch(text):
        return "the declared tool", "", moment(text)
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, list):
        raise EvidenceError(
            f"the command printed {shown(text)}; expected pgBackRest's info as JSON, or a time with its zone "
            "(2026-01-31T04:00:00Z, or seconds since the epoch)"
        )
    return pgbackrest(told, system)


def moment(text: str) -> float:
    """Return an ISO 8601 time as seconds since the epoch."""
    day, minute, second, _zulu, hours, minutes = ISO.fullmatch(text).groups()  # type: ignore[union-attr]  # the caller matched it
    try:
        zone = f"{hours or '+00'}:{minutes or '00'}"
        return datetime.datetime.fromisoformat(f"{day}T{minute}{second or ':00'}{zone}").timestamp()
    except ValueError as error:
        raise EvidenceError(f"the command printed {shown(text)}: {error}; expected a time") from None


def pgbackrest(told: Any, system: str) -> tuple[str, str, float]:
    """Return tool, label and end of the newest backup in `pgbackrest info --output=json`, which has to be a good one."""
    try:
        stanza = stanza_of(told, system)
        status = stanza["status"]
        if status["code"] != 0:
            raise EvidenceError(f"pgBackRest says of the stanza {stanza['name']}: {status['message']}; expected ok")
        newest = newest_of(stanza, system)
        # Without page checksums it is null: nothing is known to be wrong.
        if newest.get("error"):
            raise EvidenceError(f"pgBackRest found damaged pages in its newest backup {newest['label']}; expected a backup without")
        return "pgBackRest", str(newest["label"]), float(newest["timestamp"]["stop"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError(
            f"the command printed JSON that is not pgBackRest's info ({type(error).__name__}: {error}); "
            "expected that of: pgbackrest info --output=json"
        ) from None


def stanza_of(told: Any, system: str) -> dict[str, Any]:
    """Return the one stanza of this cluster."""
    mine = [one for one in told if system in ids_of(one)]
    if len(mine) != 1:
        found = "; ".join(f"{one['name']} ({', '.join(ids_of(one)) or one['status']['message']})" for one in told) or "no stanza"
        raise EvidenceError(f"pgBackRest tells of {found}; expected one stanza of this cluster, system identifier {system}")
    return dict(mine[0])


def ids_of(stanza: dict[str, Any]) -> list[str]:
    """Return the system identifiers of the clusters that have had a stanza."""
    return sorted({str(db["system-id"]) for db in stanza["db"]})


def newest_of(stanza: dict[str, Any], system: str) -> dict[str, Any]:
    """Return the newest backup of the cluster, not of one that had the stanza before it."""
    ours = {(db.get("repo-key"), db["id"]) for db in stanza["db"] if str(db["system-id"]) == system}
    backups = [one for one in stanza["backup"] if (one["database"].get("repo-key"), one["database"]["id"]) in ours]
    if not backups:
        raise EvidenceError(f"pgBackRest has no backup in the stanza {stanza['name']}; expected one: pgbackrest backup")
    return dict(max(backups, key=lambda one: float(one["timestamp"]["stop"])))


def shown(text: str) -> str:
    """Return the first line of what a command said, cut."""
    return repr(cut((text.splitlines() or [""])[0], SHOWN))
