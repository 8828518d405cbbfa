# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What programs and servers said, made short enough for a message."""

from __future__ import annotations

import re

BREAK = re.compile(r"\s|(?<=[,;])")


def cut(text: object, width: int) -> str:
    """Return a text in at most `width` characters, cut between two words, with "…" for the rest: as nodewise.text does."""
    whole = str(text)
    if len(whole) <= width:
        return whole
    at = max((found.start() for found in BREAK.finditer(whole[:width])), default=0)
    return whole[: at if at >= width // 2 else width - 1].rstrip(" \t\n,;:") + "…"
