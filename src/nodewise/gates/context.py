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
    `absent`, `unexpected`, `restarted` (without the current member, when it was `changed`): names; `to`: a version;
    `successor`: who was to take over from the current member, or null.
    """
    seen = {member.name: member for member in now.members}
    earlier = {member.name: member.started_at for member in before.members}
    watched = [name for name in seen if not changed or name != node]
    return {
        "now": msgspec.to_builtins(now),
        "before": msgspec.to_builtins(before),
        "node": msgspec.to_builtins(seen.get(node)) if node else None,
        "members": members,
        "expected": len(members),
        "absent": sorted(set(members) - set(seen)),
        "unexpected": sorted(set(seen) - set(members)),
        # a start time that nobody could read proves nothing, so it counts as a restart
        "restarted": sorted(n for n in watched if seen[n].started_at is None or seen[n].started_at != earlier.get(n)),
        "to": to,
        "successor": successor,
    }
