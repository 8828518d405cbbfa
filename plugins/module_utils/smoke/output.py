# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a script printed or left, short enough to keep and with its secrets masked."""

from __future__ import annotations

from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.secrets import Secrets


class Output:
    """Takes in a stream of any length and keeps its head and its tail, half of `cap` bytes each.

    A secret is masked before anything is cut, so that no cut lets the half of one through.
    """

    def __init__(self, cap: int, secrets: Secrets) -> None:
        self.cap, self.secrets, self.size = cap, secrets, 0
        self._slack = secrets.longest
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
            return self.secrets.hide(bytes(self._head))
        half = self.cap // 2
        head, tail = bytes(self._head), bytes(self._tail[-(half + self._slack) :])
        head = head[: self._before(head, half)]
        tail = tail[self._after(tail, len(tail) - half) :]
        mark = f"\n[... {self.size - len(head) - len(tail)} bytes were cut here ...]\n".encode()
        return self.secrets.hide(head) + mark + self.secrets.hide(tail)

    def text(self) -> str:
        """Return the same as text; what is no UTF-8 is shown as such."""
        return self.kept().decode("utf-8", "replace")

    def _before(self, data: bytes, at: int) -> int:
        return min([at] + [start for start, end in self.secrets.spans(data) if start < at < end])

    def _after(self, data: bytes, at: int) -> int:
        return max([at] + [end for start, end in self.secrets.spans(data) if start < at < end])
