# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands for an observation that could not be made."""

from __future__ import annotations

from datetime import UTC, datetime

from nodewise.model import Cluster, Member, Observation


def unseen(system: str, members: list[str], why: str) -> Observation:
    """Nobody was seen, and why: never read as a healthy cluster."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    cluster = Cluster(id=None, version=None, leader=None, quorum=None, fingerprint=None, fingerprint_at=None, alarms=None)
    gone = [
        Member(name=name, version=None, role=None, serving=False, lag=None, fingerprint=None, started_at=None, errors=[why])
        for name in members
    ]
    return Observation(system=system, at=at, cluster=cluster, members=gone)
