# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking the members of a PostgreSQL cluster: SQL with psql, and Patroni's REST API. Passwords stay in the files that hold them."""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import ssl
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host import https
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.settings import Parser, SettingsError
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

_PLAIN = ("-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse")
_LINE = 200


class PostgresqlError(Failure):
    """What a member, or the way to it, answered instead of a result; one line."""


class Member:
    """Where one member's PostgreSQL and its Patroni are."""

    def __init__(self, name: str, host: str, port: int, rest: str) -> None:
        self.name, self.host, self.port, self.rest = name, host, port, rest.rstrip("/")


class Access:
    """How the members of a cluster are asked, from the parameters of a module."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.members = [Member(one["name"], one["host"], one["port"], one["rest"]) for one in parameters["members"]]
        self.ca, self.cert, self.key = parameters["ca"], parameters["cert"], parameters["key"]
        self.passfile, self.rest_auth = parameters["passfile"], parameters["rest_auth"]
        self.user, self.database = parameters["user"], parameters["database"]
        self.socket_dir, self.os_user = parameters["socket_dir"], parameters["os_user"]
        self.bin_dir, self.timeout = parameters["bin_dir"], parameters["timeout"]
        self.parser = Parser(parameters.get("patroni_python"), parameters.get("patroni"))
        self._context = self._tls() if any(one.rest.startswith("https:") for one in self.members) else None

    def member(self, name: str) -> Member:
        """Return a member by name."""
        for one in self.members:
            if one.name == name:
                return one
        raise PostgresqlError(f"{name} is not among the members; expected one of {', '.join(one.name for one in self.members)}")

    def each(self, ask: Callable[[Member], Any], members: Iterable[Member] | None = None) -> dict[str, Any]:
        """Ask all at once; returns {name: what `ask` returned}."""
        asked = list(self.members if members is None else members)
        with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
            return dict(zip([one.name for one in asked], pool.map(ask, asked)))

    def sql(self, member: Member, statement: str, timeout: float | None = None, database: str | None = None) -> Any:
        """Have a member run one statement that returns one JSON value (or nothing: None), as `user` over TLS."""
        return self._psql([], self._remote(member, database or self.database), statement, timeout or self.timeout)

    def session(self, member: Member) -> list[str]:
        """Return the command of a psql that does to a member's `database` what it reads, as `user` over TLS."""
        return [self.program("psql"), *_PLAIN, "-d", conninfo(self._remote(member, self.database), self.timeout)]

    def local_sql(
        self,
        statement: str,
        timeout: float | None = None,
        database: str = "postgres",
        *,
        port: int = 5432,
        folder: str | None = None,
    ) -> Any:
        """Have the node's own PostgreSQL run one statement, as superuser over its socket in `folder` (by default `socket_dir`)."""
        return self._psql(self.as_superuser(), self._local(database, port, folder), statement, timeout or self.timeout)

    def local_session(self, port: int) -> list[str]:
        """Return the command of a psql that does to the node's own PostgreSQL what it reads, as superuser over its socket."""
        words = conninfo(self._local("postgres", port), self.timeout)
        return [*self.as_superuser(), self.program("psql"), *_PLAIN, "-d", words]

    def as_superuser(self) -> list[str]:
        """Return the words that go before a command which PostgreSQL's own user is to run."""
        return ["runuser", "-u", self.os_user, "--"] if os.geteuid() == 0 else []

    def program(self, name: str) -> str:
        """Return the path of one of PostgreSQL's programs."""
        return os.path.join(self.bin_dir, name) if self.bin_dir else name

    def rest(
        self, member: Member, method: str, path: str, body: dict[str, Any] | None = None, timeout: float | None = None
    ) -> tuple[int, Any]:
        """Ask a member's Patroni; returns the status and what it says, as JSON where it is JSON, else as text."""
        connection = https.connection(member.rest, self._context, timeout or self.timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers(method))
            response = connection.getresponse()
            answer = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise PostgresqlError(https.reason(error)) from None
        finally:
            connection.close()
        try:
            return response.status, json.loads(answer)
        except ValueError:
            return response.status, answer.strip()

    def _psql(self, before: list[str], words: dict[str, Any], statement: str, limit: float) -> Any:
        output = run([*before, self.program("psql"), *_PLAIN, "-d", conninfo(words, limit), "-f", "-"], limit + 1, statement)
        return value(output)

    def _local(self, database: str, port: int, folder: str | None = None) -> dict[str, Any]:
        host = folder or self.socket_dir
        return {"user": self.os_user, "dbname": database, "port": port, **({"host": host} if host else {})}

    def _remote(self, member: Member, database: str) -> dict[str, Any]:
        words = {"host": member.host, "port": member.port, "user": self.user, "dbname": database}
        if self.passfile:
            words["passfile"] = self.passfile
        # Without an authority nobody can be verified: what the documentation of `ca` says.
        return {**words, **({"sslmode": "verify-full", "sslrootcert": self.ca} if self.ca else {"sslmode": "prefer"})}

    def _headers(self, method: str) -> dict[str, str]:
        if method in ("GET", "HEAD", "OPTIONS") or not self.rest_auth:
            return {}
        try:
            told = self.parser.read(self.rest_auth)
        except SettingsError as error:
            raise PostgresqlError(f"{error}; expected the REST API's user and password there") from None
        told = (told.get("restapi") or {}).get("authentication") or told  # Patroni's own file has them there
        if not {"username", "password"} <= set(told):  # without what is in it
            raise PostgresqlError(f"{self.rest_auth}: expected a file with username and password, or Patroni's own with restapi")
        pair = f"{told['username']}:{told['password']}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def _tls(self) -> ssl.SSLContext:
        try:
            return https.context(self.ca, self.cert, self.key)
        except ValueError as error:
            raise PostgresqlError(str(error)) from None


def conninfo(words: dict[str, Any], limit: float) -> str:
    """Return what libpq connects by; a connection may take so many seconds, and so may each statement."""
    # libpq takes less than two seconds for two.
    words = {"connect_timeout": max(2, math.ceil(limit)), "application_name": "nodewise", **words}
    words["options"] = f"-c statement_timeout={math.ceil(limit * 1000)}"
    return " ".join(f"{key}='{_quoted(value)}'" for key, value in words.items())


def value(output: str) -> Any:
    """Return the one JSON value that a program printed, None where it printed nothing."""
    try:
        return json.loads(output) if output.strip() else None
    except ValueError:
        raise PostgresqlError(f"expected one JSON value, found {cut(output.strip(), 60)!r}") from None


def run(command: list[str], limit: float, given: str = "") -> str:
    """Run one of PostgreSQL's programs; returns what it printed. PostgresqlError where it did not end well in `limit` seconds."""
    try:
        done = subprocess.run(
            command, input=given.encode(), capture_output=True, timeout=limit, check=False, env=environment(), cwd="/"
        )
    except subprocess.TimeoutExpired:
        raise PostgresqlError("no answer in time") from None
    except OSError as error:
        raise PostgresqlError(f"{error.filename or command[0]}: {error.strerror}") from None
    if done.returncode:
        raise PostgresqlError(complaint(done.stderr.decode("utf-8", "replace")) or f"exit code {done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def complaint(text: str) -> str:
    """Return the line of a program's complaint that says why, without the statement that it may repeat."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "ERROR:" in line or "FATAL:" in line or " error: " in line] or lines[-1:]
    why = telling[0] if telling else ""
    for mark in ("ERROR:", "FATAL:", " failed: ", " error: "):
        if mark in why:
            return cut(why.partition(mark)[2].strip(), _LINE)
    return cut(why, _LINE)


def argument_spec() -> dict[str, Any]:
    """Return the options that the PostgreSQL modules share (documented in the fragment `nodewise.cluster.postgresql`)."""
    member = {
        "name": {"type": "str", "required": True},
        "host": {"type": "str", "required": True},
        "port": {"type": "int", "default": 5432},
        "rest": {"type": "str", "required": True},
    }
    return {
        "members": {"type": "list", "elements": "dict", "required": True, "options": member},
        "ca": {"type": "path"},
        "cert": {"type": "path"},
        "key": {"type": "path", "no_log": False},
        "passfile": {"type": "path", "no_log": False},
        "user": {"type": "str", "default": "nodewise"},
        "database": {"type": "str", "default": "nodewise"},
        "bin_dir": {"type": "path"},
        "rest_auth": {"type": "path", "no_log": False},
        "patroni": {"type": "path"},
        "patroni_python": {"type": "path"},
        "socket_dir": {"type": "path"},
        "os_user": {"type": "str", "default": "postgres"},
        "timeout": {"type": "float", "default": 3.0},
    }


def _quoted(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("'", "\\'")
