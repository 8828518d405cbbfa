# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others wrote, made fit for a terminal, a file, and a line."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from difflib import get_close_matches

UNFIT = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # controls, and what UTF-8 and XML 1.0 lack
NEAR = 0.7  # difflib's ratio of two words that one may be meant by the other
BREAK = re.compile(r"\s|(?<=[,;])")
HEAD = re.compile(r" *\S(?:\S| (?! ))* {2,}")  # of a line: what stands before its text, set off by two blanks
LONGEST_HEAD = 30


def fit(text: str) -> str:
    """A text without control characters (but tabs and ends of lines) and halves of characters: each becomes U+FFFD."""
    return UNFIT.sub("\ufffd", text)


def cut(text: str, width: int) -> str:
    """A text in at most `width` characters, cut between two words, with "…" for the rest; a word of half a width is cut, too."""
    if len(text) <= width:
        return text
    at = max((found.start() for found in BREAK.finditer(text[:width])), default=0)
    return text[: at if at >= width // 2 else width - 1].rstrip(" \t\n,;:") + "…"


def wrapped(text: str, width: int) -> list[str]:
    """A text's lines in lines of at most `width` characters, broken between words alone; what follows stands under the line's text.

    A word that is longer than a line stays whole: paths and commands are copied.
    """
    lines: list[str] = []
    for line in text.splitlines():
        head = HEAD.match(line)
        under = head.end() if head and head.end() <= min(LONGEST_HEAD, width // 2) else len(line) - len(line.lstrip())
        broken = textwrap.wrap(line.rstrip(), width, subsequent_indent=" " * under, break_long_words=False, break_on_hyphens=False)
        lines += broken or [""]
    return lines


def nearest(word: str, known: Iterable[str]) -> str:
    """What a word that is not known may have been meant to be, for a message; empty where nothing is near."""
    close = get_close_matches(word, list(known), 1, NEAR)
    return f" (did you mean {close[0]}?)" if close else ""
