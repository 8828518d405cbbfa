# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changing a cluster: handing leadership over, which is believed when the members say so, and adding a member."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import Member, members_of
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import INTERVAL


def hand_over(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Move leadership away from `member` to the first of `candidates` that serves (any other member when there are none).

    Returns changed, leader (the name that leads now), previous and seconds; raises EtcdError when nobody took over.
    """
    began = time.monotonic()
    members = {member.name: member for member in members_of(parameters)}
    own = parameters["member"]
    if own not in members:
        raise EtcdError(f"{own} is not among the members ({', '.join(sorted(members))})")
    members[own].version()
    status = members[own].call("maintenance/status")
    identity = status["header"]["member_id"]
    if status.get("leader") != identity:
        return {"changed": False, "leader": _name(members, status.get("leader")), "previous": None, "seconds": _since(began)}
    candidate, target = _candidate(members, own, parameters["candidates"])
    if not dry:
        members[own].call("maintenance/transfer-leadership", {"targetID": target})
        _confirm(members, candidate, target, began + parameters["deadline"])
    return {"changed": True, "leader": candidate, "previous": own, "seconds": _since(began)}


def add(parameters: dict[str, Any], dry: bool = False) -> dict[str, Any]:
    """Add `member`, which listens to its peers at `peer_url`, to the cluster that the others form.

    Each of the others has to answer: one member more asks for a larger majority. Returns changed and id (hexadecimal, or None).
    """
    own, urls = parameters["member"], parameters["peer_url"].split(",")
    others = [member for member in members_of(parameters) if member.name != own]
    listed = [_rows(member) for member in others]
    if not listed:
        raise EtcdError(f"{own} has nobody to join: the members hold no other name")
    for row in listed[0]:
        if row.get("name") == own or set(urls) & set(row.get("peerURLs", [])):
            return {"changed": False, "id": f"{int(row['ID']):x}"}
    if dry:
        return {"changed": True, "id": None}
    made = others[0].call("cluster/member/add", {"peerURLs": urls})
    return {"changed": True, "id": f"{int(made['member']['ID']):x}"}


def _rows(member: Member) -> list[dict[str, Any]]:
    try:
        member.version()
        rows: list[dict[str, Any]] = member.call("cluster/member/list")["members"]
    except EtcdError as error:
        raise EtcdError(
            f"{member.name}: {error}; expected every member to answer before one is added. Nothing was changed"
        ) from None
    return rows


def _candidate(members: dict[str, Member], own: str, candidates: list[str]) -> tuple[str, str]:
    """Return name and id of the first member that may lead and answers."""
    refused = []
    for name in candidates or sorted(members):
        if name == own:
            continue
        try:
            members[name].version()
            status = members[name].call("maintenance/status")
        except KeyError:
            refused.append(f"{name}: not a member")
            continue
        except EtcdError as error:
            refused.append(f"{name}: {error}")
            continue
        if not status.get("isLearner"):
            return name, str(status["header"]["member_id"])
        refused.append(f"{name}: a learner")
    raise EtcdError(f"nobody can take over leadership from {own} ({'; '.join(refused) or 'no other member'}); it still leads")


def _confirm(members: dict[str, Member], candidate: str, target: str, deadline: float) -> None:
    """Wait until the old leader and the new one both say that the new one leads."""
    seen = None
    while time.monotonic() < deadline:
        seen = [str(member.call("maintenance/status").get("leader")) for member in members.values() if member.asked]
        if set(seen) == {target}:
            return
        time.sleep(INTERVAL)
    raise EtcdError(f"leadership was handed to {candidate}, but the members did not agree on it in time (they see {seen})")


def _name(members: dict[str, Member], identity: Any) -> str | None:
    """Return the name of a member by its id; None when nobody leads."""
    for member in members.values():
        try:
            member.version()
            if str(member.call("maintenance/status")["header"]["member_id"]) == str(identity):
                return member.name
        except EtcdError:
            continue
    return None


def _since(began: float) -> float:
    return round(time.monotonic() - began, 4)
