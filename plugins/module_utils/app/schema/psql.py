# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database, asked over one psql that stays: what it holds in the database, such as a lock, ends with it."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
import uuid
from typing import Any, BinaryIO, cast

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

CONNECT_S = 5
NO_CONNECTION = 2  # how psql ends then
_TELLS = re.compile(r"ERROR:|FATAL:|error:|(Error|Exception|Violation)\b")  # of psql, and the last line of a traceback


class DatabaseError(Failure):
    """What the database, or the way to it, answered instead of a result; one line."""


class Gone(DatabaseError):
    """There is no connection, or none any more: what was asked for may be had later, as after a failover."""


class Session:
    """One psql. After a statement that fails it has ended."""

    def __init__(self, database: str, password: str, application: str) -> None:
        self._to = (database, password, application)
        command = ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-d", database]
        env = environment(PGAPPNAME=application, PGCONNECT_TIMEOUT=str(CONNECT_S), **({"PGPASSWORD": password} if password else {}))
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd="/")
        except OSError as error:
            raise DatabaseError(f"psql: {error.strerror}; install PostgreSQL's client on this node") from None
        self._stdin, self._stdout = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)

    def __enter__(self) -> Session:  # noqa: PYI034  (Self is not in the standard library of the nodes' Python)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def another(self) -> Session:
        """Return a second session, to the same database."""
        return Session(*self._to)

    def ask(self, statement: str, timeout: float = 10.0) -> Any:
        """Have the database run a statement that returns one JSON value, or nothing (None). DatabaseError says why it did not."""
        mark = uuid.uuid4().hex
        try:
            self._stdin.write(f"{statement};\n\\echo {mark}\n".encode())
            self._stdin.flush()
        except OSError:
            raise self._ended() from None
        printed = self._read(mark, time.monotonic() + timeout).strip()
        try:
            return json.loads(printed) if printed else None
        except ValueError:
            raise DatabaseError(f"expected one JSON value, found {cut(printed, 60)!r}") from None

    def end(self) -> str:
        """End it, and return what it complained about."""
        try:
            complained = self._process.communicate(timeout=2)[1]
        except subprocess.TimeoutExpired:
            self._process.kill()
            complained = self._process.communicate()[1]
        except ValueError:  # it was ended before
            complained = b""
        return complaint(complained.decode("utf-8", "replace")) or "the session ended"

    def _ended(self) -> DatabaseError:
        said = self.end()
        return Gone(said) if self._process.returncode == NO_CONNECTION else DatabaseError(said)

    def _read(self, mark: str, until: float) -> str:
        printed = b""
        while not printed.endswith(f"{mark}\n".encode()):
            if not select.select([self._stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                self._process.kill()
                self.end()
                raise Gone("no answer in time")
            some = os.read(self._stdout.fileno(), 65536)
            if not some:
                raise self._ended()
            printed += some
        return printed.decode("utf-8", "replace")[: -len(mark) - 1]


def complaint(text: str) -> str:
    """Return the line of a complaint that says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLS.search(line)] or lines
    return cut(telling[-1], 300) if telling else ""


def literal(value: str) -> str:
    """Return a text as SQL has it."""
    quoted = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{quoted}'" if "\\" in value else f"'{quoted}'"
