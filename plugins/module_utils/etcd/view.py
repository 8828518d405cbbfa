# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting the answers of etcd's members together into one observation. Pure functions: what was asked is in etcd.py.

What the members disagree about is None, with an error on the members, and so is what nobody answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import named
from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import absent, agreed, timestamp

_ALARMS = {"1": "NOSPACE", "2": "CORRUPT"}


def assemble(answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the observation that `answers` ({name: the raw answers of that member}) add up to, without fingerprints."""
    listed = _listed(answers)
    members = [_member(name, found, answers) for name, found in sorted(answers.items()) if _belongs(name, found, listed)]
    members += [_stranger(identity, row) for identity, row in sorted(listed.items()) if not _expected(identity, row, answers)]
    by_id = {identity: named(row) for identity, row in listed.items()}
    cluster = {
        "id": _agreed(members, answers, "cluster id", lambda found: _hex(found["status"]["header"]["cluster_id"])),
        "version": _agreed(members, answers, "cluster version", _cluster_version),
        "leader": _agreed(members, answers, "leader", lambda found: _leader(found, by_id)),
        "quorum": _quorum(listed),
        "fingerprint": None,
        "fingerprint_at": None,
        "alarms": _alarms(answers, by_id),
    }
    _agreed(members, answers, "members", lambda found: _roll(found, by_id))
    _mark_apart(members, answers)
    return {"system": "etcd", "at": timestamp(), "cluster": cluster, "members": members}


def compare(observation: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Add fingerprints ({"revision", "members": {name: text}, "error"}) to the observation, and say who differs."""
    prints = found.get("members", {})
    for member in observation["members"]:
        member["fingerprint"] = prints.get(member["name"])
        if member["version"] is not None and member["started_at"] is None:
            member["errors"].append("start time: /metrics does not tell process_start_time_seconds")
        if member["fingerprint"] is None and member["version"] is not None:
            member["errors"].append(f"fingerprint: {found.get('error') or 'none given'}")
    observation["cluster"]["fingerprint_at"] = found.get("revision")
    values = list(prints.values())
    if len(set(values)) == 1:
        observation["cluster"]["fingerprint"] = values[0]
    for member in observation["members"]:
        mine = member["fingerprint"]
        # The minority is named; where there is no majority everybody is.
        if mine is not None and values.count(mine) * 2 <= len(values) and len(set(values)) > 1:
            others = ", ".join(f"{name} has {text}" for name, text in sorted(prints.items()) if text != mine)
            member["errors"].append(f"fingerprint {mine} at revision {found.get('revision')}, but {others}")
    return observation


def _mark_apart(members: list[dict[str, Any]], answers: dict[str, dict[str, Any]]) -> None:
    """Say of a member that it is a cluster of its own: `details.apart`, where a quorum of the others confirms theirs.

    It has another cluster's id, or the same one and none of the others among its members, as after --force-new-cluster.
    """
    told = {name: found for name, found in answers.items() if "status" in found and "members" in found and "version" in found}
    views = {name: (_hex(found["status"]["header"]["cluster_id"]), _ids(found)) for name, found in told.items()}
    ours = next((view for view in views.values() if list(views.values()).count(view) >= len(answers) // 2 + 1), None)
    for member in members:
        own = views.get(member["name"])
        if not ours or not own or (own[0] == ours[0] and set(own[1]) & set(ours[1]) - {_own_id(told[member["name"]])}):
            continue
        acts_as = next(_cluster_version(told[name]) for name, view in views.items() if view == ours)
        member["details"] = {"apart": {"cluster": own[0], "members": len(own[1]), "others": ours[0], "acts_as": acts_as}}


def _member(name: str, found: dict[str, Any], answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if "version" not in found:
        return absent(name, "; ".join(found["errors"]) or "not seen")
    status = found.get("status", {})
    # Alarms are the cluster's: from 3.4 on a member repeats all of them among its own errors.
    own = [str(error) for error in status.get("errors", []) if not str(error).startswith("memberID:")]
    errors = found["errors"] + own
    started = found.get("started")
    return {
        "name": name,
        "version": found["version"].get("etcdserver"),
        "role": _role(status),
        "serving": "read" in found,
        "lag": _lag(status, answers),
        "fingerprint": None,
        "started_at": None if started is None else timestamp(started),
        "errors": errors,
    }


def _role(status: dict[str, Any]) -> str | None:
    if not status:
        return None
    if status.get("isLearner"):
        return "learner"
    return "leader" if _hex(status.get("leader", 0)) == _hex(status["header"]["member_id"]) else "follower"


def _lag(status: dict[str, Any], answers: dict[str, dict[str, Any]]) -> int | None:
    """Return how many entries the member has still to apply of what the furthest member has in its log."""
    if not status:
        return None
    furthest = max(int(found["status"].get("raftIndex", 0)) for found in answers.values() if "status" in found)
    # 3.3 reports one index only.
    return max(0, furthest - int(status.get("raftAppliedIndex", status.get("raftIndex", 0))))


def _ids(found: dict[str, Any]) -> list[str]:
    return sorted(_hex(row["ID"]) for row in found["members"]["members"])


def _own_id(found: dict[str, Any]) -> str:
    return _hex(found["status"]["header"]["member_id"])


def _listed(answers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return {id: row} of all members that anybody lists."""
    rows = [row for found in answers.values() for row in found.get("members", {}).get("members", [])]
    return {_hex(row["ID"]): row for row in rows}


def _expected(identity: str, row: dict[str, Any], answers: dict[str, dict[str, Any]]) -> bool:
    own = {_hex(found["status"]["header"]["member_id"]) for found in answers.values() if "status" in found}
    return row.get("name") in answers or identity in own


def _belongs(name: str, found: dict[str, Any], listed: dict[str, dict[str, Any]]) -> bool:
    """Whether an expected member is one: the cluster lists it, or it answers for itself, or nobody could be asked."""
    return "version" in found or not listed or any(row.get("name") == name for row in listed.values())


def _stranger(identity: str, row: dict[str, Any]) -> dict[str, Any]:
    if not row.get("name"):
        why = f"added to the cluster with the id {identity}, and has never started; start it, or take it out: etcdctl member remove"
        return dict(absent(named(row), f"{why} {identity}"), role=_listed_role(row))
    return dict(
        absent(row["name"], "a member of the cluster that is not in the inventory; it was not asked"), role=_listed_role(row)
    )


def _listed_role(row: dict[str, Any]) -> str | None:
    return "learner" if row.get("isLearner") else None


def _quorum(listed: dict[str, dict[str, Any]]) -> int | None:
    voters = [row for row in listed.values() if not row.get("isLearner")]
    return len(voters) // 2 + 1 if voters else None


def _cluster_version(found: dict[str, Any]) -> str | None:
    text = found["version"].get("etcdcluster", "")
    return ".".join(text.split(".")[:2]) if text[:1].isdigit() else None


def _roll(found: dict[str, Any], by_id: dict[str, str]) -> str:
    """Return whom a member lists, each with the id, as a member that was added anew has the name of the one before."""
    ids = sorted(_hex(row["ID"]) for row in found["members"]["members"])
    return ", ".join(f"{by_id[identity]} ({identity})" for identity in ids)


def _leader(found: dict[str, Any], by_id: dict[str, str]) -> str | None:
    identity = _hex(found["status"].get("leader", 0))
    return None if identity == "0" else by_id.get(identity, identity)


def _alarms(answers: dict[str, dict[str, Any]], by_id: dict[str, str]) -> list[str] | None:
    """Return the alarms that anybody reports, or None where nobody could be asked."""
    told = [found["alarms"] for found in answers.values() if "alarms" in found]
    rows = [row for answer in told for row in answer.get("alarms", [])]
    lines = {f"{_alarm(row)} {by_id.get(_hex(row.get('memberID', 0)), 'of a member unknown')}" for row in rows}
    return sorted(lines) if told else None


def _alarm(row: dict[str, Any]) -> str:
    kind = str(row.get("alarm", "NONE"))
    return _ALARMS.get(kind, kind)


def _agreed(
    members: list[dict[str, Any]], answers: dict[str, dict[str, Any]], what: str, read: Callable[[dict[str, Any]], str | None]
) -> str | None:
    told: dict[str, str | None] = {}
    for name, found in answers.items():
        try:
            told[name] = read(found)
        except KeyError:
            continue
    value: str | None = agreed(members, what, told)
    return value


def _hex(identity: int | str) -> str:
    # The gateway writes 64-bit numbers as strings, etcdctl as numbers.
    return f"{int(identity):x}"
