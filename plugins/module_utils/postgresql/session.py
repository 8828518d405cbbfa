# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking a member again and again over one kept psql: a new one costs ten times as much as most of what it is asked."""

from __future__ import annotations

import math
import os
import select
import subprocess
import time
import uuid
from contextlib import contextmanager
from typing import Any, BinaryIO, Iterator, Protocol, cast

from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import (
    Access,
    Member,
    PostgresqlError,
    complaint,
    value,
)

_READ = 65536


class Sql(Protocol):
    """Has a PostgreSQL run one statement that returns one JSON value (or nothing: None)."""

    def __call__(self, statement: str, timeout: float | None = None) -> Any:
        """PostgresqlError where it failed, or took longer than `timeout` seconds."""


@contextmanager
def superuser(access: Access, port: int) -> Iterator[Sql]:
    """Ask the node's own PostgreSQL as Access.local_sql does, over one session."""
    try:
        session = Session(access.local_session(port))
    except OSError as error:
        raise PostgresqlError(f"{error.filename}: {error.strerror}") from None

    def sql(statement: str, timeout: float | None = None) -> Any:
        return value(session.ask(statement, timeout or access.timeout))

    try:
        yield sql
    finally:
        session.end()


class Sessions:
    """The kept sessions of one cluster's members, each for one thread at a time."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._kept: dict[str, Session] = {}

    def ask(self, member: Member, statement: str, timeout: float | None = None) -> Any:
        """Have a member run one statement that returns one JSON value, as Access.sql does."""
        limit = timeout or self.access.timeout
        # A kept session may have ended with a restart in between: that says nothing, a new one does.
        kept = self._kept.pop(member.name, None)
        try:
            return self._asked(member, kept, statement, limit) if kept else self._asked_anew(member, statement, limit)
        except Gone as gone:
            if kept is None:
                raise PostgresqlError(str(gone)) from None
        return self._asked_anew(member, statement, limit)

    def close(self) -> None:
        """End all sessions."""
        for session in self._kept.values():
            session.end()
        self._kept = {}

    def _asked_anew(self, member: Member, statement: str, limit: float) -> Any:
        try:
            return self._asked(member, Session(self.access.session(member)), statement, limit)
        except OSError as error:
            raise PostgresqlError(f"{error.filename}: {error.strerror}") from None

    def _asked(self, member: Member, session: Session, statement: str, limit: float) -> Any:
        answer = session.ask(statement, limit)
        self._kept[member.name] = session
        return value(answer)


class Gone(PostgresqlError):
    """A session ended instead of answering."""


class Session:
    """One psql that reads statements. It ends with the first that fails."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd="/"
        )
        self._stdin, self._stdout = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)

    def ask(self, statement: str, limit: float) -> str:
        """Return what one statement prints. Gone where the session ended over it, PostgresqlError where it took too long."""
        mark = uuid.uuid4().hex
        line = f"set statement_timeout = {math.ceil(limit * 1000)};\n{statement};\n\\echo {mark}\n"
        try:
            self._stdin.write(line.encode())
            self._stdin.flush()
        except OSError:
            raise Gone(self.end()) from None
        return self._read(mark, time.monotonic() + limit + 1)

    def end(self, patience: float = 1.0) -> str:
        """Have it end in order, as a connection that breaks is a line in the server's log; return what it complained about."""
        try:
            complained = self._process.communicate(timeout=patience)[1]
        except subprocess.TimeoutExpired:
            self._process.kill()
            complained = self._process.communicate()[1]
        return complaint(complained.decode("utf-8", "replace")) or "the session ended"

    def _read(self, mark: str, until: float) -> str:
        printed = b""
        while not printed.endswith(f"{mark}\n".encode()):
            ready = select.select([self._stdout], [], [], max(0.0, until - time.monotonic()))[0]
            if not ready:
                self.end(0)
                raise PostgresqlError("no answer in time")
            some = os.read(self._stdout.fileno(), _READ)
            if not some:
                raise Gone(self.end())
            printed += some
        return printed.decode("utf-8", "replace")[: -len(mark) - 1]
