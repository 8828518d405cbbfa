# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a script printed or left, short enough to keep and with its secrets masked."""

from __future__ import annotations

import base64
import json
import urllib.parse

MASK = b"********"
SHORTEST = 4  # bytes: a shorter secret would mask half of any text
LINE = 8  # bytes: a line of a longer secret (a key in PEM) that is masked by itself, too


class Output:
    """Takes in a stream of any length and keeps its head and its tail, half of `cap` bytes each.

    A secret is masked before anything is cut, so that no cut lets the half of one through.
    """

    def __init__(self, cap: int, masks: list[bytes]) -> None:
        self.cap, self.masks, self.size = cap, masks, 0
        self._slack = max(map(len, masks), default=0)
        self._head, self._tail = bytearray(), bytearray()

    def add(self, data: bytes) -> None:
        """Take in what was read."""
        self.size += len(data)
        room = self.cap + self._slack - len(self._head)
        if room > 0:
            self._head += data[:room]
        self._tail += data
        keep = self.cap // 2 + self._slack
        if len(self._tail) > 8 * keep:  # seldom, so that a gigabyte is not moved byte by byte
            del self._tail[:-keep]

    @property
    def cut(self) -> int:
        """How many bytes are left out."""
        return max(0, self.size - self.cap) if self.size > self.cap else 0

    def kept(self) -> bytes:
        """Return head, mark and tail, masked; everything when it is short enough."""
        if not self.cut:
            return masked(bytes(self._head), self.masks)
        half = self.cap // 2
        head, tail = bytes(self._head), bytes(self._tail[-(half + self._slack) :])
        head = head[: self._before(head, half)]
        tail = tail[self._after(tail, len(tail) - half) :]
        mark = f"\n[... {self.size - len(head) - len(tail)} bytes were cut here ...]\n".encode()
        return masked(head, self.masks) + mark + masked(tail, self.masks)

    def text(self) -> str:
        """Return the same as text; what is no UTF-8 is shown as such."""
        return self.kept().decode("utf-8", "replace")

    def _before(self, data: bytes, at: int) -> int:
        return min([at] + [start for start, end in spans(data, self.masks) if start < at < end])

    def _after(self, data: bytes, at: int) -> int:
        return max([at] + [end for start, end in spans(data, self.masks) if start < at < end])


def spans(data: bytes, masks: list[bytes]) -> list[tuple[int, int]]:
    """Return where in the data secrets stand."""
    found = []
    for mask in masks:
        at = data.find(mask)
        while at >= 0:
            found.append((at, at + len(mask)))
            at = data.find(mask, at + 1)
    return found


def masked(data: bytes, masks: list[bytes]) -> bytes:
    """Return the data with every secret replaced."""
    for mask in masks:
        data = data.replace(mask, MASK)
    return data


def masks_of(secrets: list[str]) -> list[bytes]:
    """Return what to look for: each secret as it is, and as it looks in a URL, in JSON and in base64; the longest first."""
    found = set()
    for secret in secrets:
        lines = [line.strip() for line in secret.splitlines()]
        for text in [secret, secret.strip(), *(line for line in lines if len(line) >= LINE)]:
            forms = [text, urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text), json.dumps(text)[1:-1]]
            found |= {form.encode("utf-8", "surrogateescape") for form in forms}
            found.add(base64.b64encode(text.encode("utf-8", "surrogateescape")).rstrip(b"="))
    return sorted((mask for mask in found if len(mask) >= SHORTEST), key=len, reverse=True)
