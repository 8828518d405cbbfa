# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member that is down: what there is of it; bringing it back, with its data where that fits, else anew from the primary."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import sync
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import timestamp
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.patroni import anybody, leader_of, member_of, wait
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.switch import Member, paused_by, resume

KEPT = ".before-recovery-"
UNDER_WAY = ("starting", "creating replica", "restarting", "stopping", "initializing new cluster")
INTERVAL = 0.5


def look(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what there is of the member: its state is serving, stopped or empty."""
    member = Member(parameters)
    if not not_back(member):
        return {"state": "serving"}
    return {"state": "stopped" if has_data(parameters["data_dir"]) else "empty"}


def has_data(data_dir: str) -> bool:
    """Return whether a folder holds the data of a PostgreSQL."""
    return os.path.exists(os.path.join(data_dir, "PG_VERSION"))


def bring_back(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Wait until the member streams; when its data does not let it, move that aside and have Patroni fetch it from the primary."""
    began = time.monotonic()
    member, until = Member(parameters), began + parameters["timeout_s"]
    result: dict[str, Any] = {"changed": False, "kept": None, "resumed": False}
    if not not_back(member):
        return result
    if dry:
        return {**result, "changed": True}
    member.unit.start(parameters["timeout_s"])
    result["resumed"] = _resume(member, until)
    # Half of the time is the data's: Patroni rewinds a member that was ahead by itself.
    left = wait(lambda: not_back(member), began + parameters["timeout_s"] / 2, INTERVAL)
    if left and _stuck(member):
        result["kept"] = _anew(member, parameters, left)
    if left and (left := wait(lambda: not_back(member), until, INTERVAL)):
        raise PostgresqlError(f"{member.name} is not back after {parameters['timeout_s']:g} s: {left}{_where(result['kept'])}")
    return {**result, "changed": True, "seconds": round(time.monotonic() - began, 3)}


def not_back(member: Member) -> str:
    """Return what the member lacks of a replica that streams, or of a primary that leads; nothing when it is back."""
    try:
        status = member.patroni.status()
        cluster = anybody(member.access, member.name)
    except PostgresqlError as error:
        return f"Patroni does not answer: {error}"
    return lacking(status, cluster, member.name, member.timeline())


def lacking(status: dict[str, Any], cluster: dict[str, Any], name: str, received: int | None) -> str:
    """The same, from what a member and `/cluster` say, and the timeline that the member writes or receives."""
    leader = leader_of(cluster)
    if status.get("state") != "running":
        return f"it is {status.get('state')}"
    if leader == name:
        return "" if status.get("role") in ("primary", "master") else "it has the leader's lock, but is not the primary"
    if status.get("role") in ("primary", "master"):
        return f"it runs as a primary beside {leader or 'nobody'}"
    timeline = member_of(cluster, leader or "").get("timeline")
    if status.get("replication_state") != "streaming" or timeline is None or received != timeline:
        how = status.get("replication_state") or "no replication"
        return f"it does not stream from {leader or 'nobody'} ({how}, timeline {received}, expected {timeline})"
    return ""


def _resume(member: Member, until: float) -> bool:
    """End the pause of a run that died, as a Patroni that is paused starts nothing; this member's own minds it again by then."""
    pausing = paused_by(member.any_patroni().config())
    if pausing == "":
        raise PostgresqlError(
            f"Patroni is paused, and not by Nodewise: whoever paused it has to resume it, and {member.name} to wait"
        )
    if pausing is None:
        return False
    if left := wait(lambda: "" if member.patroni.status() else "it says nothing", until):
        raise PostgresqlError(f"{member.name}: its Patroni does not answer, and the cluster stays paused: {left}")
    return resume(member)


def _stuck(member: Member) -> bool:
    """Whether waiting longer would not help, and there is somebody to fetch the data from."""
    leader = leader_of(anybody(member.access, member.name))
    if leader in (None, member.name) or member.primary():
        return False
    try:
        return member.patroni.status().get("state") not in UNDER_WAY
    except PostgresqlError:
        return False  # that is Patroni's trouble, not the data's


def _anew(member: Member, parameters: dict[str, Any], why: str) -> str:
    """Move the data aside and start again: Patroni makes a replica where there is none. Returns where the data is."""
    data = os.path.realpath(parameters["data_dir"])
    stamp = timestamp().replace("-", "").replace(":", "").partition(".")[0]
    if os.path.ismount(data):
        raise PostgresqlError(f"{member.name}: {why}; its data lies on a mount of its own ({data}): empty that, and run it again")
    member.unit.stop(parameters["timeout_s"])
    kept = f"{data}{KEPT}{stamp}"
    os.rename(data, kept)
    sync(os.path.dirname(data))
    member.unit.start(parameters["timeout_s"])
    return kept


def _where(kept: str | None) -> str:
    return f"; its data from before is in {kept}" if kept else "; its data was left as it is"
