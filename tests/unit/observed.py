"""Observations for tests: a healthy cluster of three, and small departures from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from nodewise.model import Observation

HEALTHY: dict[str, Any] = {
    "system": "etcd",
    "at": "2026-01-01T00:00:00.000Z",
    "cluster": {"id": "c1", "version": "3.4", "leader": "n2", "quorum": 2, "fingerprint": "7@1", "fingerprint_at": 9, "alarms": []},
    "members": [
        {
            "name": n,
            "version": "3.4.23",
            "role": "leader" if n == "n2" else "follower",
            "serving": True,
            "lag": 0,
            "fingerprint": "7@1",
            "started_at": "2026-01-01T00:00:00Z",
            "errors": [],
        }
        for n in ("n1", "n2", "n3")
    ],
}


DETAILS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "cases/postgresql_info/healthy.json").read_text())["observation"]


def observation(cluster: dict[str, Any] | None = None, system: str | None = None, **members: dict[str, Any]) -> Observation:
    """The healthy cluster with the given fields changed; a member given as None is not there, a new name is one more.

    That of another system is as a real one was seen. Of `details` each one is changed on its own.
    """
    raw = msgspec.json.decode(msgspec.json.encode({"at": HEALTHY["at"], **DETAILS} if system == "postgresql" else HEALTHY))
    _change(raw["cluster"], cluster or {})
    there = {member["name"]: member for member in raw["members"]}
    for name, fields in members.items():
        if fields is None:
            there.pop(name)
        else:
            _change(there.setdefault(name, {**there["n1"], "name": name}), fields)
    raw["members"] = list(there.values())
    return msgspec.convert(raw, Observation)


def _change(what: dict[str, Any], fields: dict[str, Any]) -> None:
    details = {**what.get("details", {}), **fields.get("details", {})}
    what.update({**fields, "details": details})
