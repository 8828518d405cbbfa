# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member that is down, or whose hardware is new: what there is of it, and giving it a new place in the cluster."""

from __future__ import annotations

import glob
import os
import socket
import time
import urllib.parse
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import Member, base64_text, members_of, named
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import timestamp

# etcd wants its members connected for some seconds before it takes another in.
_NOT_YET = ("unhealthy cluster", "not enough started members")
_READ = {"key": base64_text("nodewise"), "keys_only": True, "limit": 1}


def look(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what there is of `member`: its state (serving, stopped, empty) and the version that it says it is.

    One that has data and that the others do not list is refused: it cannot come back with it.
    """
    there = remains(parameters["data_dir"]) == "member"
    try:
        others, own = _apart(parameters)
    except EtcdError:
        if there:
            raise
        return {"state": "empty", "version": None}  # new hardware has no certificates to ask with
    version = _serves(own)
    if version or not there:
        return {"state": "serving" if version else "empty", "version": version}
    rows = _agreed_rows(others)
    if not any(row.get("name") == own.name for row in rows):
        listed = ", ".join(sorted(map(named, rows)))
        raise EtcdError(
            f"{parameters['data_dir']} holds the data of a member, and the cluster lists no {own.name} (its members: {listed}); "
            "nothing was changed: move that folder away to have it added anew"
        )
    return {"state": "stopped", "version": None}


def remains(data_dir: str) -> str:
    """Return what a data folder holds: `member`, `leftover` (a database without a log: it never took part), or `nothing`."""
    if glob.glob(os.path.join(glob.escape(data_dir), "member", "wal", "*.wal")):
        return "member"
    return "leftover" if os.path.exists(os.path.join(data_dir, "member", "snap", "db")) else "nothing"


def replace(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Give `member`, which is to start with an empty folder, a place in the cluster of the others; its old one is removed.

    That is done only when the others agree, serve and have a majority without it, and nobody answers where the old one was.
    Returns changed, id, removed (the old id, or None) and moved (where a database that never took part was put, or None).
    """
    others, own = _apart(parameters)
    left = remains(parameters["data_dir"])
    if left == "member":
        raise EtcdError(
            f"{parameters['data_dir']} holds the data of a member, so the node is not empty. Nothing was changed: start it, "
            "or move that folder away to have the member replaced"
        )
    rows = _agreed_rows(others)
    urls = parameters["peer_url"].split(",")
    mine = [row for row in rows if row.get("name") == own.name or set(urls) & set(row.get("peerURLs", []))]
    if len(mine) > 1 or (mine and mine[0].get("name") not in (None, "", own.name)):
        found = ", ".join(f"{row.get('name') or 'one without a name'} at {' '.join(row.get('peerURLs', []))}" for row in mine)
        raise EtcdError(f"the cluster lists {found} where {own.name} is to be; expected one entry or none. Nothing was changed")
    started = bool(mine and mine[0].get("name"))
    if started:
        _refuse_alive(own, mine[0])
        _refuse_without_majority(others, rows, time.monotonic() + parameters["deadline"])
        if left == "leftover":
            raise EtcdError(
                f"{parameters['data_dir']} holds a database and no log of {own.name}, which took part; nothing was changed: "
                "if its log is in no other folder, move that one away"
            )
    result: dict[str, Any] = {
        "changed": started or not mine,
        "id": _id(mine[0]) if mine and not started else None,
        "removed": None,
        "moved": None,
    }
    if not dry:
        result["moved"] = _move(parameters["data_dir"]) if left == "leftover" else None
        if started:
            result["removed"] = _remove(others, mine[0])
        if result["changed"]:
            result["id"] = _add(others, urls, parameters["deadline"], result["removed"])
    return result


def _serves(member: Member) -> str | None:
    """Return the version of a member that serves, else None."""
    try:
        version = str(member.version().get("etcdserver"))
        member.call("kv/range", _READ)
    except EtcdError:
        return None
    return version


def _apart(parameters: dict[str, Any]) -> tuple[list[Member], Member]:
    members = members_of(parameters)
    others = [member for member in members if member.name != parameters["member"]]
    if len(others) == len(members) or not others:
        raise EtcdError(
            f"{parameters['member']} has no others to be recovered from (members: {', '.join(m.name for m in members)}); "
            "nothing was changed: a cluster of one is restored from a backup"
        )
    return others, next(member for member in members if member.name == parameters["member"])


def _agreed_rows(others: list[Member]) -> list[dict[str, Any]]:
    """Return the members that all the others list; each of them has to answer, and to say the same."""
    told: dict[str, list[dict[str, Any]]] = {}
    for member in others:
        try:
            member.version()
            told[member.name] = member.call("cluster/member/list")["members"]
        except EtcdError as error:
            raise EtcdError(f"{member.name}: {error}; expected all the others to answer. Nothing was changed") from None
    views = {name: sorted(_id(row) for row in rows) for name, rows in told.items()}
    if any(view != views[others[0].name] for view in views.values()):
        raise EtcdError(
            f"the others list different members ({'; '.join(f'{name}: {view}' for name, view in views.items())}). "
            "Nothing was changed"
        )
    return told[others[0].name]


def _refuse_alive(own: Member, row: dict[str, Any]) -> None:
    """Refuse while somebody listens where the old member was: it may only be cut off."""
    for url in sorted({*own.urls, *row.get("clientURLs", []), *row.get("peerURLs", [])}):
        target = urllib.parse.urlsplit(url)
        try:
            socket.create_connection((target.hostname or "", target.port or 0), own.timeout).close()
        except OSError:
            continue
        raise EtcdError(
            f"somebody listens at {url}, where {own.name} ({_id(row)}) was; expected it to be down before it is replaced. "
            "Nothing was changed: stop it first"
        )


def _refuse_without_majority(others: list[Member], rows: list[dict[str, Any]], until: float) -> None:
    voters = sum(not row.get("isLearner") for row in rows)
    if len(others) < voters // 2 + 1:
        raise EtcdError(f"{len(others)} of {voters} members are there without it, expected {voters // 2 + 1}. Nothing was changed")
    for member in others:
        _wait_for(member, until)


def _wait_for(member: Member, until: float) -> None:
    """Wait until a member serves: the one that is down may have led, and an election takes a moment."""
    while True:
        try:
            member.call("kv/range", _READ)
        except EtcdError as error:
            if time.monotonic() > until:
                raise EtcdError(f"{member.name} does not serve: {error}; expected all the others to. Nothing was changed") from None
        else:
            return
        time.sleep(0.1)


def _move(data_dir: str) -> str:
    aside = f"{data_dir.rstrip('/')}/.before-recovery-{timestamp().replace(':', '')}"
    os.mkdir(aside, 0o700)
    os.rename(os.path.join(data_dir, "member"), os.path.join(aside, "member"))
    return aside


def _remove(others: list[Member], row: dict[str, Any]) -> str:
    try:
        others[0].call("cluster/member/remove", {"ID": str(row["ID"])})
    except EtcdError as error:
        raise EtcdError(f"{others[0].name} did not remove {row['name']} ({_id(row)}): {error}; run it again") from None
    return _id(row)


def _add(others: list[Member], urls: list[str], deadline: float, removed: str | None) -> str:
    until = time.monotonic() + deadline
    while True:
        try:
            return _id(others[0].call("cluster/member/add", {"peerURLs": urls})["member"])
        except EtcdError as error:
            if time.monotonic() > until or not any(text in str(error) for text in _NOT_YET):
                before = f"its old entry {removed} was removed, and " if removed else ""
                raise EtcdError(f"{before}{others[0].name} did not add {', '.join(urls)}: {error}; run it again") from None
        time.sleep(0.25)


def _id(row: dict[str, Any]) -> str:
    return f"{int(row['ID']):x}"
