# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL's own programs, run as PostgreSQL's own user; they end with us, when nobody waits, or when it takes too long."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import time
from typing import IO, Any, Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.host.caller import Called
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import end_group, end_with_parent
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import Access, PostgresqlError, complaint

TICK = 0.05  # seconds between looks
SAID = 16384  # bytes of a program's last words that are looked through


class Programs:
    """Runs programs until a moment of time.monotonic(), and as long as somebody waits for them."""

    def __init__(self, access: Access, called: Called, until: float) -> None:
        self.access, self.called, self.until = access, called, until

    def look(self) -> None:
        """Raise when we should not go on."""
        off = self.called.look()
        if off:
            raise PostgresqlError(f"it was called off ({off})")
        if time.monotonic() > self.until:
            raise PostgresqlError("it took too long; give it more time with nodewise_backup_deadline")

    def left(self) -> float:
        """Return the seconds that are left."""
        return max(1.0, self.until - time.monotonic())

    def run(self, name: str, *words: str) -> None:
        """Run a program to its end, which must be a good one; what it began has ended as well then."""
        with tempfile.TemporaryFile() as said:
            process = self.start(name, *words, output=said)
            try:
                # It is not waited for yet: as long as it is a zombie, its process group is nobody else's.
                while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                    self.look()
                    time.sleep(TICK)
            finally:
                end_group(process)
            if process.returncode:
                raise PostgresqlError(f"{name}: {complaint(last_words(said)) or f'exit code {process.returncode}'}")

    def start(self, name: str, *words: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own."""
        try:
            return subprocess.Popen(
                [self.access.program(name), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
                cwd="/",
                start_new_session=True,
                preexec_fn=as_user(self.access.os_user),  # noqa: PLW1509  no thread of ours runs meanwhile
            )
        except OSError as error:
            raise PostgresqlError(f"{self.access.program(name)}: {error.strerror}; expected PostgreSQL's programs there") from None


def as_user(name: str) -> Callable[[], None]:
    """Return what a child does before it becomes a program: be that user, and end with its parent."""
    user = pwd.getpwnam(name)

    def become() -> None:
        if os.geteuid() != user.pw_uid:
            os.initgroups(name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        os.umask(0o077)
        end_with_parent(signal.SIGQUIT)  # after the change of user, which takes it away; PostgreSQL's way to end at once

    return become


def end(process: subprocess.Popen[Any], number: int, patience: float = 10) -> None:
    """End a process that may have ended; at once where that takes longer than so many seconds."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_words(stream: IO[bytes]) -> str:
    """Return the end of what a program said."""
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - SAID))
    return stream.read().decode("utf-8", "replace")
