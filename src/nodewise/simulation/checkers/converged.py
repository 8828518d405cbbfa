# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checker `converged`: in the end every member has the same data."""

from __future__ import annotations

from collections.abc import Sequence

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.context import NOTHING, Context

NAME = "converged"


def converged(_history: Sequence[Operation], context: Context = NOTHING) -> Verdict:
    """The fingerprints of all members are equal; unknown when one has none, or fewer than two were seen."""
    seen = context.fingerprints
    silent = sorted(name for name, value in seen.items() if value is None)
    values = {value for value in seen.values() if value is not None}
    told = ", ".join(f"{name} {value}" for name, value in sorted(seen.items()))
    if len(values) > 1:
        return Verdict(NAME, "invalid", f"members whose data differs: {told}")
    if silent or len(seen) < 2:  # noqa: PLR2004 one member alone always agrees
        return Verdict(
            NAME,
            "unknown",
            f"fingerprints of {len(seen) - len(silent)} members: {told or 'nobody was asked'}; expected all, of two or more",
        )
    return Verdict(NAME, "valid", f"members whose data differs: 0 (of {len(seen)}, fingerprint {values.pop()})")
