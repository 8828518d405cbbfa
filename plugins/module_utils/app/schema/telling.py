# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a schema an operator should know, in words."""

from __future__ import annotations

from typing import Any

STATES = {  # of a backfill, in words
    "run": "runs",
    "pause": "paused",
    "hours": "waits for its hours",
    "replicas": "waits for a replica",
    "cancel": "cancelled",
}


def told(given: dict[str, Any], seen: dict[str, Any], versions: set[str | None]) -> dict[str, list[str]]:
    """Return the lines of a status (`notes`) and of a plan (`gaps`)."""
    logical = ", ".join(seen["logical"] or [])
    gap = f"logical replication is not told of a changed schema ({logical}): change the subscriber's schema yourself, first"
    return {"notes": notes(given, seen, versions), "gaps": [gap] if logical else []}


def notes(given: dict[str, Any], seen: dict[str, Any], versions: set[str | None]) -> list[str]:
    """Return what is not over yet, a line each: a backfill, and a contract of the version that every member runs."""
    said, fill = [], seen["backfill"]
    if fill and not fill["done"]:
        state = STATES[fill["state"]] if fill["running"] else "ended" if fill["asked"] == "cancel" else "NOT RUNNING"
        most = f" of at most {fill['most']:g}" if fill["most"] else ""
        left = f"about {fill['left'] / fill['rate']:.0f} s" if fill["rate"] and fill["left"] else "unknown time"
        lag = "unknown" if fill["lag"] is None else f"{fill['lag']:.1f} s"
        said.append(
            f"backfill of {fill['table']}: {state}; {fill['scanned']} of about {fill['total']} rows, "
            f"{fill['rate']:g} rows/s{most}, {left} left, replicas {lag} behind"
        )
    if len(versions) == 1 and "contract" in given["commands"]:
        waits = [version for version in versions if version in (seen["expanded"] or []) and version not in seen["contracted"]]
        said += [f"the contract of {version} waits: the schema still has the shape that older releases need" for version in waits]
    return said
