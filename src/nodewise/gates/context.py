# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What gates are asked about."""

from __future__ import annotations

from typing import Any

import msgspec

from nodewise.model import Observation


def context(
    now: Observation,
    before: Observation,
    members: list[str],
    *,
    to: str,
    node: str | None = None,
    changed: bool = True,
    successor: str | None = None,
) -> dict[str, Any]:
    """What gates are asked about.

    `now`, `before`: observations; `node`: the current member as it is now; `members`: the names expected, `expected`: their count;
    `absent`, `unexpected`, `restarted` (the current member aside): names; `to`: a version; `node_restarted`: whether the current
    member's process is another one, though it was not `changed`; `successor`: who was to take over from it, or null.
    """
    seen = {member.name: member for member in now.members}
    earlier = {member.name: member.started_at for member in before.members}
    # a start time that nobody could read proves nothing, so it counts as a restart
    restarted = {name for name, one in seen.items() if one.started_at is None or one.started_at != earlier.get(name)}
    return {
        "now": msgspec.to_builtins(now),
        "before": msgspec.to_builtins(before),
        "node": msgspec.to_builtins(seen.get(node)) if node else None,
        "members": members,
        "expected": len(members),
        "absent": sorted(set(members) - set(seen)),
        "unexpected": sorted(set(seen) - set(members)),
        "restarted": sorted(restarted - {node}),
        "node_restarted": not changed and (node in restarted or node not in seen),
        "to": to,
        "successor": successor,
    }
