# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup that an upgrade took: which file it is, what was recorded of it, and what going back to it would lose."""

from __future__ import annotations

import datetime
import hashlib
import time
from pathlib import Path
from typing import Any

import msgspec
from packaging.version import Version

from nodewise.errors import Refused
from nodewise.record.commands import command
from nodewise.record.run import Run

ROOM = 128 << 20  # bytes beside two times the backup: a log is made with it


class Backup(msgspec.Struct):
    """A file in `backup/` of a run's folder, as its journal tells of it. `at` is when it was made, UTC."""

    file: str
    run: str
    cluster: str
    node: str
    sha256: str
    size: int  # of its data on a node
    revision: int
    at: str
    version: str  # the lowest that ran at that moment
    unit: str = "revisions"  # what `revision` counts


def find(file: Path) -> Backup:
    """The backup in a file, whose content is what was recorded; anything else is refused."""
    run = Run(file.absolute().parent.parent)
    if not file.is_file() or not run.journal.exists():
        raise Refused(
            f"{file} is {'not in the folder of a run, whose journal has its checksum' if file.is_file() else 'no file'}. "
            "Nothing was touched.\nName one that an upgrade took: -e nodewise_backup=runs/RUN/backup/FILE"
        )
    records = run.records()
    noted = [r for r in records if Path(r.get("backup", {}).get("copy", "")).name == file.name]
    if not noted:
        raise Refused(f"the journal of {run.id} tells of no backup {file.name}; nothing was touched: its checksum is not known")
    told: dict[str, Any] = noted[-1]["backup"]
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != told["sha256"]:
        raise Refused(f"{file} has sha256 {found}, and {told['sha256']} was recorded: it is not the backup. Nothing was touched")
    moment = datetime.datetime.fromtimestamp(noted[-1]["t"] / 1e9, datetime.UTC)
    return Backup(
        file=str(file.absolute()),
        run=run.id,
        cluster=str(run.read_json("run.json").get("cluster")),
        node=file.stem,
        sha256=found,
        size=int(told.get("unpacked") or told["size"]),
        revision=int(told["revision"]),
        at=moment.strftime("%Y-%m-%dT%H:%MZ"),
        version=str(told.get("version") or _ran(run, noted[-1]["seq"], file.stem)),
        unit=str(told.get("unit") or "revisions"),
    )


def lost(backup: Backup, observation: dict[str, Any], members: list[str]) -> str:
    """What was written since the backup, as far as an observation says how far the members are now."""
    seen = {member["name"]: member for member in observation.get("members", [])}
    now = observation["cluster"]["fingerprint_at"] if set(members) & set(seen) else None  # or it is of another quorum group
    exact = all(name in seen and seen[name]["fingerprint"] and seen[name]["lag"] == 0 for name in members)
    since = f"everything written since {backup.at}"
    if now is None:
        return f"{since}, {backup.unit} after {backup.revision}; the cluster cannot be read, so how much is unknown"
    if now <= backup.revision:
        return (
            f"{since}: the cluster has {backup.unit} up to {now} and the backup up to {backup.revision}, so nothing that is known"
        )
    more = "" if exact else " or more, as not every member could be read"
    return f"{since}: {backup.unit} {backup.revision + 1} to {now}, {now - backup.revision} of them{more}"


def group_of(backup: Backup, about: dict[str, Any]) -> list[str]:
    """The members that the backup is of: those of the quorum group of its node."""
    groups = [sorted(names) for names in about.get("groups", {about["cluster"]: about["members"]}).values() if backup.node in names]
    if backup.cluster != about["cluster"] or not groups:
        raise Refused(f"{backup.file} is of {backup.node} in {backup.cluster}, and not of {about['cluster']}; nothing was touched")
    return groups[0]


def refuse_unready(backup: Backup, nodes: dict[str, Any]) -> None:
    """Every node has to be there, with room, and held by nobody."""
    silent = sorted(name for name, node in nodes.items() if not node)
    if silent:
        raise Refused(f"{', '.join(silent)} did not answer; expected every member's node, as all are restored. Nothing was touched")
    for name, node in nodes.items():
        held = (node.get("state") or {}).get("lease")
        if node.get("state") is None:
            raise Refused(f"{name} does not say who holds it ({'; '.join(node['errors'])}); nothing was touched")
        if held and held["expires"] > node["clock"] / 1e9:
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(held["expires"]))
            unlock = command("unlock", f"-e nodewise_confirm={held['run']}")
            raise Refused(
                f"run {held['run']} of {held['who']} holds {name} until {until}; nothing was touched.\n"
                f"Wait for its end, or, if it is dead, take it away: {unlock}"
            )
        free, needed = (node["data"] or {}).get("free_bytes"), 2 * backup.size + ROOM
        if free is None or free < needed:
            has = "does not say how much is free for its data" if free is None else f"has {free >> 20} MiB free for its data"
            raise Refused(f"{name} {has}, expected {needed >> 20} MiB beside what is there; nothing was touched")


def refuse_older(backup: Backup, version: str) -> None:
    """A minor before that of the backup does not read it."""
    if Version(version).release[:2] < Version(backup.version).release[:2]:
        raise Refused(
            f"{version} cannot read what {backup.version} wrote; restore it with that or a later one. Nothing was touched"
        )


def _ran(run: Run, before: int, node: str) -> str:
    """The lowest version that was seen running last before the backup was taken, in the group of its node."""
    seen = [r["observation"]["members"] for r in run.records("observe") if r["seq"] < before]
    mine = [members for members in seen if any(member["name"] == node for member in members)]
    versions = [str(member["version"]) for member in mine[-1] if member["version"]] if mine else []
    if not versions:
        raise Refused(
            f"the journal of {run.id} does not say which version ran; nothing was touched: say it with -e nodewise_to=VERSION"
        )
    return min(versions, key=Version)
