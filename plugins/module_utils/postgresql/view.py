# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting the answers of a PostgreSQL cluster's members together into one observation. Pure functions: postgresql_info.py asks.

Each member is seen twice, by SQL and by its Patroni. Where these contradict each other, and where members disagree, the value is
None with an error on the member, and so is what nobody answered.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import absent, agreed, timestamp
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.patroni import (
    LEADS,
    MARK,
    barred,
    enabled,
    leader_of,
    member_of,
)

UNFINISHED = "nodewise_unfinished"  # tag of a member that Nodewise has in the middle of its batch
SYNC = ("sync", "quorum")
_UP = ("running", "streaming")
_SLOT = 63
_SHOWN = 5


def assemble(answers: dict[str, dict[str, Any]], component: str, long_s: float) -> dict[str, Any]:
    """Return the observation that `answers` ({name: the raw answers of that member}) add up to, without fingerprints."""
    members = [_member(name, found, component) for name, found in sorted(answers.items())]
    members += [_stranger(name) for name in _strangers(answers)]
    by_name = {member["name"]: member for member in members}
    leader = _leader(by_name, answers)
    details = _details(by_name, answers, leader, long_s)
    _follow(by_name, answers, leader, details)
    versions = {name: found["sql"]["version"].split(".")[0] for name, found in answers.items() if "sql" in found}
    cluster = {
        "id": agreed(members, "system identifier", _told(answers, "sql", "system_identifier")),
        "version": agreed(members, "major version", versions),
        "leader": leader,
        "quorum": None if details["synchronous"] is None else 2 if details["synchronous"] else 1,
        "fingerprint": None,
        "fingerprint_at": None,
        "alarms": [],
        "details": details,
    }
    return {"system": "postgresql", "at": timestamp(), "cluster": cluster, "members": members}


def compare(observation: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Add fingerprints ({"at", "members": {name: text}, "errors": {name: text}}) to the observation, and say who differs."""
    prints = found["members"]
    values = list(prints.values())
    for member in observation["members"]:
        mine = member["fingerprint"] = prints.get(member["name"])
        if mine is None and member["details"].get("postgresql") is not None:
            member["errors"].append(f"fingerprint: {found['errors'].get(member['name']) or 'none was made'}")
        # The minority is named; where there is no majority everybody is.
        if mine is not None and values.count(mine) * 2 <= len(values) and len(set(values)) > 1:
            others = ", ".join(f"{name} has {text}" for name, text in sorted(prints.items()) if text != mine)
            member["errors"].append(f"fingerprint {mine}, but {others}")
    observation["cluster"]["fingerprint_at"] = found["at"]
    if len(set(values)) == 1:
        observation["cluster"]["fingerprint"] = values[0]
    return observation


def fingerprint(*parts: Any) -> str:
    """Return a short digest of what must be equal on all members."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def primary_of(answers: dict[str, dict[str, Any]]) -> str | None:
    """Return the one member that is not in recovery; None where there is none, or more than one."""
    primaries = [name for name, found in answers.items() if "sql" in found and not found["sql"]["in_recovery"]]
    return primaries[0] if len(primaries) == 1 else None


def timelines_of(found: dict[str, Any]) -> list[list[int]] | None:
    """Return the timelines that a member came through, oldest first, each with the position where it ended; None where unknown.

    The member's own file tells where it may be read, else Patroni's store, whose history may still be an older one.
    """
    current = found.get("sql", {}).get("timeline")
    if current is None:
        return None
    if current == 1:
        return []
    if found["sql"]["history"]:
        lines = [line.split() for line in found["sql"]["history"].splitlines() if line.strip()[:1].isdigit()]
        return [[int(line[0]), _position(line[1])] for line in lines]
    past = [[int(line[0]), int(line[1])] for line in found.get("history", [])]
    return past if past and past[-1][0] == current - 1 else None


def _position(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) * 2**32 + int(low, 16)


def _member(name: str, found: dict[str, Any], component: str) -> dict[str, Any]:
    if "sql" not in found and "patroni" not in found:
        return dict(absent(name, "; ".join(_errors(found)) or "not seen"), details={})
    sql, patroni = found.get("sql", {}), found.get("patroni", {})
    errors = _errors(found)
    role = _role(sql, patroni, errors)
    running = {"postgresql": sql.get("version"), "patroni": patroni.get("patroni", {}).get("version")}
    return {
        "name": name,
        "version": running[component],
        "role": role,
        "serving": role is not None and patroni.get("state") in _UP,
        "lag": None,
        "fingerprint": None,
        "started_at": timestamp(sql["started"]) if sql else None,
        "errors": errors,
        "details": {**running, **_own(name, found, errors)},
    }


def _errors(found: dict[str, Any]) -> list[str]:
    return [f"{what}: {why}" for what, why in sorted(found["errors"].items())]


def _own(name: str, found: dict[str, Any], errors: list[str]) -> dict[str, Any]:
    """Return what the member says of itself besides what every system's members say."""
    sql, patroni = found.get("sql", {}), found.get("patroni", {})
    tags = patroni.get("tags") or {}
    if sql.get("replay_paused"):
        errors.append("replay is paused on it; select pg_wal_replay_resume() goes on")
    failures = sql.get("checksum_failures")
    if failures:
        errors.append(f"data pages that failed their checksums: {failures}; this member's disk cannot be trusted")
    return {
        "state": patroni.get("state"),
        "timeline": sql.get("timeline"),
        "replay_lsn": sql.get("replay_lsn") if sql.get("in_recovery") else sql.get("lsn"),
        "replay_paused": sql.get("replay_paused"),
        "checksum_failures": failures,
        "tags": tags if patroni else None,
        "unfinished": _unfinished(name, found) if patroni or "config" in found else None,
        "collations": found.get("collations"),
        "pending_restart": bool(patroni.get("pending_restart")) if patroni else None,
        "sessions": sql.get("sessions"),
        "store_seen_s": _age(found),
        "rest_denied": found.get("denied"),
    }


def _unfinished(name: str, found: dict[str, Any]) -> bool:
    """Whether Nodewise left the member in the middle of its batch: by its tag, or paused the cluster for it."""
    tags = found.get("patroni", {}).get("tags") or member_of(found.get("cluster", {}), name).get("tags") or {}
    return bool(tags.get(UNFINISHED)) or found.get("config", {}).get(MARK) == name


def _role(sql: dict[str, Any], patroni: dict[str, Any], errors: list[str]) -> str | None:
    """Return what SQL says that the member is, unless its Patroni contradicts."""
    if not sql:
        return None
    role = "replica" if sql["in_recovery"] else "primary"
    if patroni and (patroni.get("role") in LEADS) != (role == "primary"):
        errors.append(f"by SQL it is a {role}, by Patroni a {patroni.get('role')}")
        return None
    return role


def _age(found: dict[str, Any]) -> float | None:
    """Return how many seconds ago the member's Patroni reached its store, by the clock of the node that asked."""
    seen = found.get("patroni", {}).get("dcs_last_seen")
    return None if not seen else round(found["asked_at"] - float(seen), 1)


def _strangers(answers: dict[str, dict[str, Any]]) -> list[str]:
    listed = {row["name"] for found in answers.values() for row in found.get("cluster", {}).get("members", [])}
    return sorted(listed - set(answers))


def _stranger(name: str) -> dict[str, Any]:
    return dict(absent(name, "a member in Patroni's store that is not in the inventory; it was not asked"), details={})


def _told(answers: dict[str, dict[str, Any]], what: str, key: str) -> dict[str, Any]:
    """Return what each member that answered `what` says of `key`."""
    return {name: found[what].get(key) for name, found in answers.items() if what in found}


def _leader(members: dict[str, dict[str, Any]], answers: dict[str, dict[str, Any]]) -> str | None:
    """Return whom all Patronis have as the leader, unless SQL contradicts."""
    told = {name: leader_of(found["cluster"]) for name, found in answers.items() if "cluster" in found}
    leader: str | None = agreed(list(members.values()), "leader", told)
    wrong = [name for name, found in answers.items() if "sql" in found and not found["sql"]["in_recovery"] and name != leader]
    for name in wrong if leader else []:
        members[name]["errors"].append(f"it takes writes, but Patroni has {leader} as the leader")
    if leader in answers and answers[leader].get("sql", {}).get("in_recovery"):
        wrong.append(leader)
        members[leader]["errors"].append("Patroni has it as the leader, but it is in recovery")
    return None if wrong else leader


def _details(
    members: dict[str, dict[str, Any]], answers: dict[str, dict[str, Any]], leader: str | None, long_s: float
) -> dict[str, Any]:
    """Return what only a PostgreSQL cluster says of itself; what is asked of the leader alone is None without one."""
    everybody, primary = list(members.values()), answers.get(leader or "", {}).get("sql")
    views = {name: found["cluster"] for name, found in answers.items() if "cluster" in found}
    configs = {name: found["config"] for name, found in answers.items() if "config" in found}
    synchronous = agreed(everybody, "synchronous_mode", {name: _synchronous(config) for name, config in configs.items()})
    follows = {name: bool(config.get("standby_cluster")) for name, config in configs.items()}
    long = _long(answers, long_s)
    return {
        "timeline": agreed(everybody, "timeline", _told(answers, "sql", "timeline")),
        "timelines": _timelines(members, answers.get(leader or "", {}), leader),
        "paused": agreed(everybody, "paused", {name: bool(view.get("pause")) for name, view in views.items()}),
        "paused_by": next((config[MARK] for config in configs.values() if config.get(MARK)), None),
        "scheduled": _scheduled(views),
        "synchronous": synchronous,
        "standbys": None,
        "slots": None if primary is None else _slots(answers, leader, primary, configs),
        "archiver": None if primary is None else _archiver(primary),
        "prepared": None if primary is None else len(primary["prepared"]),
        "prepared_transactions": None if primary is None else primary["prepared"][:_SHOWN],
        "oldest_transaction_s": max((one["age_s"] for one in _transactions(answers)), default=0.0) if long is not None else None,
        "long_transactions": long,
        "data_checksums": agreed(everybody, "data_checksums", _told(answers, "sql", "data_checksums")),
        "checksum_failures": _sum(answers, "checksum_failures"),
        "store": _store(members, configs),
        "standby_cluster": agreed(everybody, "standby_cluster", follows),
        "cascading": _cascading(views),
    }


def _synchronous(config: dict[str, Any]) -> bool:
    mode = config.get("synchronous_mode")
    return enabled(mode) or str(mode).lower() == "quorum"


def _cascading(views: dict[str, dict[str, Any]]) -> list[str] | None:
    """Return the members that are told to replicate from another than the leader; None where nobody could be asked."""
    rows = [row for view in views.values() for row in view.get("members", [])]
    return sorted({row["name"] for row in rows if (row.get("tags") or {}).get("replicatefrom")}) if views else None


def _timelines(members: dict[str, dict[str, Any]], found: dict[str, Any], leader: str | None) -> list[int] | None:
    """Return the numbers of the timelines that the leader came through, its own one last."""
    if leader is None or found.get("sql", {}).get("timeline") is None:
        return None
    past = timelines_of(found)
    if past is None:
        members[leader]["errors"].append(f"nobody tells where its timeline {found['sql']['timeline']} came from")
        return None
    return [number for number, _unused in past] + [found["sql"]["timeline"]]


def _scheduled(views: dict[str, dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the switchovers and restarts that anybody knows to be scheduled; None where nobody could be asked."""
    found = [{"what": "switchover", **view["scheduled_switchover"]} for view in views.values() if view.get("scheduled_switchover")]
    rows = [row for view in views.values() for row in view.get("members", []) if row.get("scheduled_restart")]
    found += [{"what": "restart", "member": row["name"], "at": row["scheduled_restart"].get("schedule")} for row in rows]
    return [one for number, one in enumerate(found) if one not in found[:number]] if views else None


def _slots(
    answers: dict[str, dict[str, Any]], leader: str | None, primary: dict[str, Any], configs: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the leader's slots; one that a member should have and that is not there is `missing`."""
    cascading = {
        row["name"] for name, found in answers.items() if name != leader for row in found.get("sql", {}).get("standbys", [])
    }
    wanted = {slot_name(name): name for name in answers if name != leader and name not in cascading}
    if any(not enabled((config.get("postgresql") or {}).get("use_slots", True)) for config in configs.values()):
        wanted = {}
    rows = [{**row, "member": wanted.get(row["name"])} for row in primary["slots"]]
    there = {row["name"] for row in rows}
    none = {"type": "physical", "active": False, "wal_status": "missing"}
    return rows + [{"name": slot, **none, "member": name} for slot, name in sorted(wanted.items()) if slot not in there]


def slot_name(member: str) -> str:
    """Return the name of a member's replication slot, as Patroni makes it."""
    name = re.sub("[^a-z0-9_]", lambda found: "_" if found.group() in "-." else f"u{ord(found.group()):04d}", member.lower())
    return name[:_SLOT]


def _archiver(primary: dict[str, Any]) -> dict[str, Any]:
    """Return what the leader's archiver does; it fails while its last word was a failure, or when nothing is set that archives."""
    told = primary["archiver"]
    on = told["mode"] != "off"
    failed = told["failed_s"] is not None and (told["archived_s"] is None or told["failed_s"] >= told["archived_s"])
    times = {
        f"last_{what}_at": None if told[f"{what}_s"] is None else timestamp(told[f"{what}_s"]) for what in ("archived", "failed")
    }
    return {
        "mode": told["mode"],
        "configured": told["configured"],
        "failing": on and (failed or not told["configured"]),
        "last_archived_wal": told["archived_wal"],
        "last_failed_wal": told["failed_wal"],
        **times,
    }


def _transactions(answers: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"member": name, **row} for name, found in answers.items() for row in found.get("sql", {}).get("transactions", [])]


def _long(answers: dict[str, dict[str, Any]], long_s: float) -> list[dict[str, Any]] | None:
    """Return the oldest of the transactions that are older than so many seconds; None where nobody could be asked."""
    rows = sorted((one for one in _transactions(answers) if one["age_s"] > long_s), key=lambda one: -float(one["age_s"]))
    return rows[:_SHOWN] if any("sql" in found for found in answers.values()) else None


def _sum(answers: dict[str, dict[str, Any]], key: str) -> int | None:
    """Return the sum of what all members say; None where one does not."""
    told = [found.get("sql", {}).get(key) for found in answers.values()]
    return sum(told) if told and None not in told else None


def _store(members: dict[str, dict[str, Any]], configs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return who has not seen Patroni's store for as long as a leader may be silent."""
    ttl = next((int(config["ttl"]) for config in configs.values() if config.get("ttl")), None)
    ages = {name: member["details"].get("store_seen_s") for name, member in members.items()}
    late = sorted(name for name, age in ages.items() if ttl is None or age is None or age > ttl)
    return {"ttl_s": ttl, "unseen": [{"member": name, "seen_s_ago": ages[name]} for name in late]}


def _follow(
    members: dict[str, dict[str, Any]], answers: dict[str, dict[str, Any]], leader: str | None, details: dict[str, Any]
) -> None:
    """Add what is known of replication: each standby as its upstream sees it, lag, and who may take over."""
    if leader is None:
        return
    seen = {row["name"]: {**row, "by": name} for name, found in answers.items() for row in found.get("sql", {}).get("standbys", [])}
    target = answers[leader].get("sql", {}).get("lsn")
    details["standbys"] = {name: _standby(members[name], seen.get(name), target is not None) for name in answers if name != leader}
    for name in answers:
        _one_follows(members[name], details["standbys"].get(name), target, details)
    if details["synchronous"] and not any(row["sync_state"] in SYNC for row in details["standbys"].values()):
        members[leader]["serving"] = False
        members[leader]["errors"].append("synchronous mode, and no standby is synchronous")


def _standby(member: dict[str, Any], row: dict[str, Any] | None, asked: bool) -> dict[str, Any]:
    """Return a standby as its upstream sees it; one that nobody sees, or of which no position is known, gets an error."""
    none: dict[str, Any] = {"state": None, "sync_state": None, "replay_lsn": None, "by": None}
    if row is None:
        nobody = "no member has it in pg_stat_replication: it does not stream"
        member["errors"].append(nobody if asked else "the leader does not tell whether it streams")
    elif row["state"] != "streaming" or row["replay_lsn"] is None:
        position = "unknown" if row["replay_lsn"] is None else row["replay_lsn"]
        member["errors"].append(f"{row['by']} has it in pg_stat_replication as {row['state']}, replayed up to {position}")
    return {key: (row or none)[key] for key in none}


def _one_follows(member: dict[str, Any], row: dict[str, Any] | None, target: int | None, details: dict[str, Any]) -> None:
    position, tags = member["details"].get("replay_lsn"), member["details"].get("tags") or {}
    if member["role"] == "primary":
        member["lag"] = 0
    elif row and row["state"] == "streaming" and row["replay_lsn"] is not None and None not in (position, target):
        member["lag"] = max(0, int(target or 0) - int(position))
    if member["role"] is not None:
        why = _barred(member, row, tags, synchronous=bool(details["synchronous"]))
        member["details"].update(candidate=not why, **({"barred": why} if why else {}))


def _barred(member: dict[str, Any], row: dict[str, Any] | None, tags: dict[str, Any], *, synchronous: bool) -> str:
    """Return why a member may not take over, or nothing."""
    if not member["serving"]:
        return "does not serve"
    if tag := barred(tags):
        return f"has the tag {tag}"
    if member["lag"] is None:
        return "does not say how far it has replayed"
    return "is not a synchronous standby" if row and synchronous and row["sync_state"] not in SYNC else ""
