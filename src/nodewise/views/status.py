# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An observation in words."""

from __future__ import annotations

from nodewise.model import Member, Observation


def status(cluster: str, observation: Observation) -> list[str]:
    """An observation as an operator reads it."""
    seen = observation.cluster
    version, leader, quorum = map(_known, (seen.version, seen.leader, seen.quorum))
    said = [f"{cluster} ({observation.system}) acts as {version}, leader {leader}, quorum {quorum}"]
    said += [_member(member) for member in observation.members]
    alarms = "unknown" if seen.alarms is None else ", ".join(seen.alarms) or "none"
    said.append(f"  fingerprint {_known(seen.fingerprint)} at {_known(seen.fingerprint_at)}, alarms {alarms}")
    return [*said, *(f"  {note}" for note in seen.details.get("notes", []))]


def _known(value: object) -> object:
    return "unknown" if value is None else value


def _member(member: Member) -> str:
    state = "serves" if member.serving else "DOES NOT SERVE"
    errors = f": {'; '.join(member.errors)}" if member.errors else ""
    return f"  {member.name}  {_known(member.version)}  {_known(member.role)}, {state}, lag {_known(member.lag)}{errors}"
