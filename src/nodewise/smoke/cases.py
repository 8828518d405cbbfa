# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing that a script tried, and what came of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from nodewise.text import cut

Status = Literal["pass", "fail", "skip"]
REASON = 400  # characters of a reason


class Case(msgspec.Struct, omit_defaults=True):
    """One thing that was tried. `seconds` is None where nobody says; `flaky`: it passed after it had failed."""

    name: str
    status: Status
    reason: str = ""
    seconds: float | None = None
    flaky: bool = False


class Unparsable(Exception):
    """Why output is not what it was taken for; one line."""


def short(text: str) -> str:
    """A reason on one line, as long as a line may be."""
    return cut(" ".join(text.split()), REASON)


def seconds(text: object) -> float | None:
    """A duration that somebody wrote; None when it is none."""
    try:
        return float(str(text).replace(",", ""))
    except ValueError:
        return None
