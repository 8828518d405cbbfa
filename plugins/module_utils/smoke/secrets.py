# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets, as scripts and the formats of their results write them: found in whatever a node sends, and replaced."""

from __future__ import annotations

import base64
import bisect
import itertools
import json
import re
import urllib.parse
from xml.sax.saxutils import escape

MASK = b"********"
SHORTEST = 4  # bytes: a shorter secret would mask half of any text
LINE = 8  # bytes: a line of a longer secret (a key in PEM) that is masked by itself, too
QUOTES: tuple[dict[str, str], ...] = (
    {'"': "&quot;", "'": "&apos;"},
    {'"': "&#34;", "'": "&#39;"},
    {'"': "&quot;", "'": "&#x27;"},
    {'"': "&quot;"},
    {},
)
# Lines of base64 as programs wrap it: a secret in it may begin on one and end on another.
# It begins where a run of its characters does: from everywhere in one, a long line would take the square of its length.
_WRAPPED = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{2,}={0,2})+")
_BREAK = re.compile(rb"\r?\n[ \t]*")


class Secrets:
    """What to look for: each secret in all its forms; `longest` is how many bytes one may take."""

    def __init__(self, values: list[str]) -> None:
        texts = {text for value in values for text in _parts(value)}
        self._forms = _long_enough({form for text in texts for form in written(text)})
        self._base64 = _long_enough({form for text in texts for form in in_base64(text)})
        forms = self._forms + self._base64
        self.longest = max((len(form) + len(form) // 16 for form in forms), default=0)  # with the breaks of wrapped lines

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where in the data secrets stand."""
        found = [span for form in self._forms + self._base64 for span in _finds(data, form)]
        for block in _WRAPPED.finditer(data) if self._base64 else ():
            found += self._wrapped(block)
        return found

    def hide(self, data: bytes) -> bytes:
        """Return the data with every secret replaced."""
        hidden, at = [], 0
        for start, end in _merged(self.spans(data)):
            hidden += [data[at:start], MASK]
            at = end
        return b"".join([*hidden, data[at:]]) if at else data

    def text(self, text: str) -> str:
        """Return a text with every secret replaced, such as a name that a script gave something."""
        return self.hide(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def _wrapped(self, block: re.Match[bytes]) -> list[tuple[int, int]]:
        """Where secrets stand in lines that belong together."""
        text = block[0]
        gaps = [gap.span() for gap in _BREAK.finditer(text)]
        begins = [0, *(end for _start, end in gaps)]  # of lines, in the block
        lines = [text[at:end] for at, end in zip(begins, [*(start for start, _end in gaps), None])]
        joins = [0, *itertools.accumulate(map(len, lines))]  # where each line begins once they are joined
        joined = b"".join(lines)

        def place(at: int) -> int:
            line = bisect.bisect_right(joins, at, hi=len(lines)) - 1
            return block.start() + begins[line] + at - joins[line]

        return [(place(start), place(end - 1) + 1) for form in self._base64 for start, end in _finds(joined, form)]


def written(text: str) -> set[bytes]:
    """Return a text as it is, and as JSON, XML, TAP, URLs, a shell and hexadecimal digits have it."""
    forms = {
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        text.replace("\\", "\\\\").replace("#", "\\#"),
    }
    forms |= {form.replace("/", "\\/") for form in list(forms)}
    forms |= {escape(text, quotes) for quotes in QUOTES}
    forms |= {text.replace("'", mark) for mark in ("'\\''", "'\"'\"'")}
    for safe in ("", "/"):
        for quote in (urllib.parse.quote, urllib.parse.quote_plus):
            quoted = quote(text.encode("utf-8", "surrogateescape"), safe=safe)
            forms |= {quoted, re.sub("%..", lambda code: code[0].lower(), quoted)}
    raw = {form.encode("utf-8", "surrogateescape") for form in forms}
    digits = text.encode("utf-8", "surrogateescape").hex()
    return raw | {digits.encode(), digits.upper().encode()}


def in_base64(text: str) -> set[bytes]:
    """Return what base64 has of a text wherever it begins in what is encoded, such as after a user's name and a colon."""
    data, found = text.encode("utf-8", "surrogateescape"), set()
    for before, first in ((0, 0), (1, 2), (2, 3)):
        whole = base64.b64encode(b"\0" * before + data)[first : (before + len(data)) * 8 // 6]
        found |= {whole, whole.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def _parts(value: str) -> list[str]:
    lines = [line.strip() for line in value.splitlines()]
    return [value, value.strip(), *(line for line in lines if len(line) >= LINE)]


def _long_enough(forms: set[bytes]) -> list[bytes]:
    return sorted((form for form in forms if len(form) >= SHORTEST), key=lambda form: (-len(form), form))


def _finds(data: bytes, form: bytes) -> list[tuple[int, int]]:
    found, at = [], data.find(form)
    while at >= 0:
        found.append((at, at + len(form)))
        at = data.find(form, at + 1)
    return found


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order; those that overlap are one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
