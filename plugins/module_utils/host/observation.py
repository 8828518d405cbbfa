# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Observations: what is still missing from one, and waiting on the node until nothing is.

An observation is a dict in the shape of nodewise.model.Observation; only the standard library is used here.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure

INTERVAL = 0.03  # seconds between two looks: a restart takes some hundred milliseconds, and this is what waiting adds to it


def timestamp(seconds: float | None = None) -> str:
    """Return a time (seconds since the epoch, now by default) as UTC, ISO 8601 with milliseconds."""
    moment = datetime.datetime.fromtimestamp(time.time() if seconds is None else seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def absent(name: str, error: str) -> dict[str, Any]:
    """Return the member entry of one that could not be seen."""
    return {
        "name": name,
        "version": None,
        "role": None,
        "serving": False,
        "lag": None,
        "fingerprint": None,
        "started_at": None,
        "errors": [error],
    }


def agreed(members: list[dict[str, Any]], what: str, told: dict[str, Any]) -> Any:
    """Return what all say ({name: what it says}); None, with an error on each, where they do not."""
    values = {None if value is None else str(value) for value in told.values()}
    if len(values) == 1 and None not in values:
        return next(iter(told.values()))
    for member in members:
        if member["name"] in told:
            own = told[member["name"]]
            others = "; ".join(f"{name} says {told[name]}" for name in sorted(told) if told[name] != own)
            member["errors"].append(f"{what}: {'none' if own is None else own}{', but ' + others if others else ''}")
    return None


def missing(observation: dict[str, Any], settled: dict[str, Any]) -> list[str]:
    """Return one line for each thing in `settled` that `observation` does not show; none means settled.

    `members` are names that must be there, and no others; `serving`, `leader` and `fingerprint` are true or left out;
    `versions` maps names to versions; `max_lag` is a number; `cluster_version` a version. An unknown key is an error.
    """
    unknown = sorted(set(settled) - set(_CHECKS))
    if unknown:
        raise Failure(f"settled: unknown {', '.join(unknown)}; known are {', '.join(sorted(_CHECKS))}")
    lines: list[str] = []
    for key, wanted in settled.items():
        # False and None say "not asked for"; 0 is a lag that may be asked for.
        if wanted is not None and wanted is not False:
            lines.extend(_CHECKS[key](observation, wanted))
    return lines


def settle(
    look: Callable[[], dict[str, Any]], complete: Callable[[], dict[str, Any]], settled: dict[str, Any], deadline: float
) -> tuple[dict[str, Any], list[str], int, float]:
    """Look until nothing is missing or `deadline` seconds have passed.

    `look()` returns an observation without what is expensive, `complete()` returns the last one with that (fingerprints,
    start times): it runs once the rest has settled, and at the deadline, so that the last observation is always whole.
    A member that became a cluster of its own is not waited for: it serves clients, and what it takes is lost.
    Returns the last observation, what is missing from it, how many looks it took, and the seconds.
    """
    began = time.monotonic()
    cheap = {key: wanted for key, wanted in settled.items() if key != "fingerprint"}
    looks = 0
    while True:
        looks += 1
        observation = look()
        late = time.monotonic() - began >= deadline or any(_apart(member) for member in observation["members"])
        if late or not missing(observation, cheap):
            observation = complete()
            lacking = missing(observation, settled)
            if late or not lacking:
                return observation, lacking, looks, round(time.monotonic() - began, 4)
        time.sleep(INTERVAL)


def _apart(member: dict[str, Any]) -> bool:
    return bool(member.get("details", {}).get("apart"))


def _members(observation: dict[str, Any], wanted: list[str]) -> list[str]:
    seen = {member["name"] for member in observation["members"]}
    lines = [f"{name}: not among the members" for name in wanted if name not in seen]
    return lines + [f"{name}: a member that is not expected" for name in sorted(seen - set(wanted))]


def _serving(observation: dict[str, Any], _wanted: bool) -> list[str]:
    silent = [member for member in observation["members"] if not member["serving"]]
    lines = [f"{member['name']}: not serving ({'; '.join(member['errors']) or 'no reason given'})" for member in silent]
    return lines or ([] if observation["members"] else ["no members seen"])


def _versions(observation: dict[str, Any], wanted: dict[str, str]) -> list[str]:
    seen = {member["name"]: member["version"] for member in observation["members"]}
    return [
        f"{name}: runs {seen.get(name) or 'an unknown version'}, expected {version}"
        for name, version in wanted.items()
        if seen.get(name) != version
    ]


def _leader(observation: dict[str, Any], _wanted: bool) -> list[str]:
    leading = [member["name"] for member in observation["members"] if member["role"] in ("leader", "primary")]
    if len(leading) != 1:
        return [f"{len(leading)} leaders ({', '.join(leading) or 'none'}), expected one"]
    if observation["cluster"]["leader"] != leading[0]:
        return [f"{leading[0]} leads, and not all members say so"]
    return []


def _fingerprint(observation: dict[str, Any], _wanted: bool) -> list[str]:
    seen = [(member["name"], member["fingerprint"]) for member in observation["members"]]
    if seen and seen[0][1] is not None and len({value for unused, value in seen}) == 1:
        return []
    shown = ", ".join(f"{name} {value or 'unknown'}" for name, value in seen)
    return [f"fingerprints are not equal on all members: {shown or 'no members seen'}"]


def _max_lag(observation: dict[str, Any], wanted: int) -> list[str]:
    return [
        f"{member['name']}: lag {'unknown' if member['lag'] is None else member['lag']}, expected at most {wanted}"
        for member in observation["members"]
        if member["lag"] is None or member["lag"] > wanted
    ]


def _cluster_version(observation: dict[str, Any], wanted: str) -> list[str]:
    seen = observation["cluster"]["version"]
    return [] if seen == wanted else [f"the cluster acts as {seen or 'an unknown version'}, expected {wanted}"]


_CHECKS: dict[str, Callable[[dict[str, Any], Any], list[str]]] = {
    "members": _members,
    "serving": _serving,
    "versions": _versions,
    "leader": _leader,
    "fingerprint": _fingerprint,
    "max_lag": _max_lag,
    "cluster_version": _cluster_version,
}
