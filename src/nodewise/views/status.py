# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An observation in words."""

from __future__ import annotations

from nodewise.model import Member, Observation


def status(cluster: str, observation: Observation) -> list[str]:
    """An observation as an operator reads it."""
    seen = observation.cluster
    version, leader, quorum = (value or "unknown" for value in (seen.version, seen.leader, seen.quorum))
    said = [f"{cluster} ({observation.system}) acts as {version}, leader {leader}, quorum {quorum}"]
    said += [_member(member) for member in observation.members]
    said.append(f"  fingerprint {seen.fingerprint or 'unknown'} at {seen.fingerprint_at or 'unknown'}, alarms {seen.alarms}")
    return said


def _member(member: Member) -> str:
    state = "serves" if member.serving else "DOES NOT SERVE"
    errors = f": {'; '.join(member.errors)}" if member.errors else ""
    return f"  {member.name}  {member.version or 'unknown'}  {member.role or 'unknown'}, {state}, lag {member.lag}{errors}"
