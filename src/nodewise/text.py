# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others wrote, made fit for a terminal, a file, and a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

UNFIT = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # controls, and what UTF-8 and XML 1.0 lack
NEAR = 0.7  # difflib's ratio of two words that one may be meant by the other
BREAK = re.compile(r"\s|(?<=[,;])")


def fit(text: str) -> str:
    """A text without control characters (but tabs and ends of lines) and halves of characters: each becomes U+FFFD."""
    return UNFIT.sub("\ufffd", text)


def cut(text: str, width: int) -> str:
    """A text in at most `width` characters, cut between two words, with "…" for the rest; a word of half a width is cut, too."""
    if len(text) <= width:
        return text
    at = max((found.start() for found in BREAK.finditer(text[:width])), default=0)
    return text[: at if at >= width // 2 else width - 1].rstrip(" \t\n,;:") + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """What a word that is not known may have been meant to be, for a message; empty where nothing is near."""
    close = get_close_matches(word, list(known), 1, NEAR)
    return f" (did you mean {close[0]}?)" if close else ""
