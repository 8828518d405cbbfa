# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether anybody still waits for what this module will answer."""

from __future__ import annotations

import os
import select
import signal
import stat
import time
from contextlib import suppress
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import began, parent

NEAR = 2  # processes above us that belong to the connection: a shell and sudo; the operator's own shell may end
BEAT = 1.0  # seconds between signs of life to whoever reads our answer


class Called:
    """Whether the run was called off: by a signal, or because nobody waits for its answer any more (Ctrl-C, a dead connection)."""

    def __init__(self) -> None:
        self.off = ""
        self._before: dict[int, Any] = {}
        self._answer = select.poll()
        with suppress(OSError):
            self._answer.register(1, 0)  # only POLLERR and POLLHUP: nobody reads what we would answer
        self._above = ancestors()
        self._beaten = time.monotonic()

    def __enter__(self) -> Called:  # noqa: PYI034  typing.Self is newer than the nodes' Python
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, _frame: object) -> None:
        self.off = f"signal {number}"

    def look(self) -> str:
        """Return why the run is off, or ""."""
        self._beat()
        if not self.off and any(event & (select.POLLERR | select.POLLHUP) for _descriptor, event in self._answer.poll(0)):
            self.off = "nobody waits for the answer any more"
        if not self.off and ancestors() != self._above:
            self.off = "the connection that began it has ended"
        return self.off

    def _beat(self) -> None:
        """Write an empty line, which Ansible passes over: what lies between us and our reader sees only so that it is gone."""
        if (
            not self.off
            and time.monotonic() - self._beaten > BEAT
            and stat.S_IFMT(os.fstat(1).st_mode) in (stat.S_IFIFO, stat.S_IFSOCK)
        ):
            self._beaten = time.monotonic()
            try:
                os.write(1, b"\n")
            except OSError as error:
                self.off = f"the answer can go nowhere any more ({error.strerror})"


def ancestors() -> list[str]:
    """Return the processes that we were started through; when one of them ends, so did the connection."""
    found: list[str] = []
    pid = os.getppid()
    while pid > 1 and len(found) < NEAR:
        found.append(str(began(pid)))
        pid = parent(pid)
    return found
