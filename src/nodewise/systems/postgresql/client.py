# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL over libpq, as applications reach it: the primary is found among all members by `target_session_attrs=read-write`.

Writes go to the primary: every other one as a statement alone, every other one as a transaction of statements. Reads go to the
primary (where a client reads its own writes) and to the client's own member in turn; an answer of a replica is marked `stale`. Rows
are in the schema `workload`, made with the data set: registers that are updated, additions, which no constraint keeps unique, and
accounts, whose transfers are booked among the additions.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus

from nodewise.model import Operation
from nodewise.simulation.workloads.client import ClientFactory, Credentials
from nodewise.systems.postgresql import data
from nodewise.text import cut

UNIT, DATA = "patroni", "/var/lib/nodewise/postgresql"  # of systemd, and its folder, on testnets: PostgreSQL runs in it
DURABLE = {"nodewise_synchronous": True}
OPERATIONS = frozenset({"write", "add", "cas", "append", "deposit", "transfer", "balances"})
TIMEOUT = 1.0  # seconds for a statement
CONNECTING = 2  # seconds for one member: libpq's least
BACKOFF = 0.05  # seconds, where no member takes writes: each look at all of them costs a TLS handshake and a SCRAM proof a member
CATCH_UP = 10.0  # seconds that a member may need to replay what the primary has
POLL = 0.02

WRITE = """insert into workload.registers (key, value) values ($1, $2)
on conflict (key) do update set value = excluded.value"""
ADD = "insert into workload.additions (key, value) values ($1, $2)"
CREATE = "insert into workload.registers (key, value) values ($1, $2) on conflict do nothing returning key"
CAS = "update workload.registers set value = $2 where key = $1 and value = $3 returning key"
APPEND = """insert into workload.registers (key, value) values ($1, $2)
on conflict (key) do update set value = registers.value || ',' || excluded.value"""
DEPOSIT = """insert into workload.accounts (key, balance) select key, value::int from json_each_text($1::json)
on conflict do nothing"""
PAY = "update workload.accounts set balance = balance + $2 where key = $1 and balance + $2 >= 0 returning key"
BALANCES = """select pg_is_in_recovery(), coalesce(json_object_agg(key, balance) filter (where key ^@ $1), '{}')
from workload.accounts"""
READ = """select pg_is_in_recovery(), coalesce((select value from workload.registers where key = $1),
  (select value from workload.additions where key = $1 limit 1))"""
SCAN = """select key, value from workload.registers where key ^@ $1
union all select key, value from workload.additions where key ^@ $1
union all select key, balance::text from workload.accounts where key ^@ $1"""
CAUGHT_UP = "select not pg_is_in_recovery() or coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)"

# An answer of severity ERROR is given when the transaction was taken back. FATAL and PANIC end the session at any moment, that
# after the commit included; so do these classes of SQLSTATE: connection exceptions, and "statement completion unknown".
DOUBTFUL = ("08", "40003")


Statements = list[tuple[str, tuple[str, ...]]]


class NotDone(OSError):
    """It is certain that nothing was changed, and never will be."""


class Declined(OSError):
    """The server looked, and said no: nothing was changed."""


class Session:
    """A connection whose statements end within a time: what hangs is let go of, and what came of it is not known."""

    def __init__(self, conninfo: Mapping[str, Any], timeout: float) -> None:
        """Connect. Raises `NotDone`."""
        self._timeout = timeout
        self._said: list[str] = []  # warnings, and what came unasked
        try:
            self._connection = psycopg.Connection.connect(**conninfo, autocommit=True)
        except psycopg.Error as error:
            raise NotDone(_line(error)) from error
        self._connection.add_notice_handler(self._notice)
        self._pq = self._connection.pgconn
        self._pq.nonblocking = 1
        self.at = (self._connection.info.host, self._connection.info.port)

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._connection.close()

    def ask(self, statement: str, *values: str) -> list[list[str | None]]:
        """The rows that one statement answers, as text.

        Raises `NotDone` when it was not sent or was taken back, another `OSError` when that is not known.
        """
        self._see_that_it_stands()
        self._pq.send_query_params(statement.encode(), [value.encode() for value in values])
        try:
            results = self._results()
        except psycopg.Error as error:
            raise ConnectionError(_line(error)) from error
        for result in results:
            self._judge(statement, result)
        if self._said:  # such as: committed here, and nobody waited for the synchronous standby
            raise ConnectionError(self._said[0])
        return [_row(results[-1], number) for number in range(results[-1].ntuples)]

    def _see_that_it_stands(self) -> None:
        """A session that the server has ended meanwhile is found out before anything is sent."""
        self._said.clear()
        try:
            if select.select([self._pq.socket], [], [], 0)[0]:
                self._pq.consume_input()
                self._pq.is_busy()  # has what came be understood, a farewell as well
            ended = self._pq.status != ConnStatus.OK
        except (psycopg.Error, OSError, ValueError) as error:
            raise NotDone(f"lost before it was sent: {_line(error)}") from error
        if ended or self._said:
            raise NotDone(f"lost before it was sent: {', '.join(self._said) or 'the connection is closed'}")

    def _results(self) -> list[Any]:
        """All results of what was sent; `TimeoutError` when they are not there in time."""
        until, found = time.monotonic() + self._timeout, list[Any]()
        while self._pq.flush():
            self._wait(until, writing=True)
        while True:
            while self._pq.is_busy():
                self._wait(until)
                self._pq.consume_input()
            result = self._pq.get_result()
            if result is None:
                return found
            found.append(result)

    def _wait(self, until: float, *, writing: bool = False) -> None:
        socket = [self._pq.socket]
        if not any(select.select(socket, socket if writing else [], [], max(0.0, until - time.monotonic()))):
            raise TimeoutError(f"no answer within {self._timeout:g} s")

    @staticmethod
    def _judge(statement: str, result: Any) -> None:
        if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            if statement == "commit" and result.command_status != b"COMMIT":
                raise NotDone(f"COMMIT was answered {result.command_status!r}")
            return
        state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
        says = f"{state or 'no SQLSTATE'}: {_line(result.error_message.decode(errors='replace'))}"
        severity = result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED)
        raise NotDone(says) if state and severity == b"ERROR" and not state.startswith(DOUBTFUL) else ConnectionError(says)

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized in ("WARNING", "FATAL", "PANIC"):
            self._said.append(f"{diagnostic.sqlstate}: {_line(diagnostic.message_primary)}")


class PostgresqlClient:
    """A client whose own member is `node`. `members`: host and port of each, by name; `access`: libpq's other parameters."""

    def __init__(
        self, node: str, members: Mapping[str, tuple[str, int]], access: Mapping[str, Any], timeout: float = TIMEOUT
    ) -> None:
        self._node = node
        self._members = {node: members[node], **members}  # its own first
        self._access = access
        self._timeout = timeout
        self._sessions: dict[str, Session] = {}
        self._reading = cycle(("read-write", "any"))
        self._writing = cycle((self._alone, self._transaction))

    def open(self) -> None:
        """Connect to the client's own member; the primary is looked for when it is needed."""
        self._session("any")

    def close(self) -> None:
        """Close both connections; safe to call twice."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def invoke(self, operation: Operation) -> Operation:
        """Perform one of `OPERATIONS`, or a read."""
        try:
            return self._read(operation) if operation.f in ("read", "balances") else self._write(operation)
        except Declined as error:
            return msgspec.structs.replace(operation, type="fail", refused=True, error=str(error))
        except OSError as error:
            self.close()  # a transaction may be open, or an answer under way: the next one begins anew
            outcome = "fail" if operation.f in ("read", "balances") or isinstance(error, NotDone) else "info"
            return msgspec.structs.replace(operation, type=outcome, error=f"{type(error).__name__}: {error}")

    def scan(self, prefix: str) -> Mapping[str, str | list[str]]:
        """Every row under a prefix on the client's own member, once that has replayed all that was acknowledged before."""
        self._catch_up()
        found: dict[str, list[str]] = {}
        for key, value in self._session("any").ask(SCAN, prefix):
            found.setdefault(str(key), []).append(str(value))
        return {key: values if len(values) > 1 else values[0] for key, values in found.items()}

    def leads(self) -> bool:
        """Whether the client's own member is the primary."""
        return self._session("any").ask("select not pg_is_in_recovery()") == [["t"]]

    def seed(self, seed: int) -> data.Facts:
        """Write the data set of a seed, and make the workload's own tables unless they are there."""
        with _oserrors(), self._plain("read-write") as connection:
            return data.write(connection, seed)

    def differences(self, expected: data.Facts) -> list[str]:
        """What is missing or different on the client's own member."""
        self._catch_up()
        with _oserrors(), self._plain("any") as connection:
            return list(data.compare(expected, data.read(connection)))

    def _read(self, operation: Operation) -> Operation:
        session = self._session(next(self._reading))
        ((replica, said),) = session.ask(READ if operation.f == "read" else BALANCES, operation.key)
        value = said if operation.f == "read" else json.loads(str(said))
        return msgspec.structs.replace(operation, type="ok", value=value, node=self._name(session), stale=replica == "t")

    def _write(self, operation: Operation) -> Operation:
        session = self._session("read-write")
        todo = statements(operation)
        (next(self._writing) if len(todo) == 1 else self._transaction)(session, todo)
        return msgspec.structs.replace(operation, type="ok", node=self._name(session))

    @staticmethod
    def _alone(session: Session, todo: Statements) -> None:
        for statement in todo:
            _perform(session, *statement)

    @staticmethod
    def _transaction(session: Session, todo: Statements) -> None:
        """Whatever happens before COMMIT is sent, the server takes it back."""
        try:
            session.ask("begin")
            for statement in todo:
                _perform(session, *statement)
        except Declined:
            session.ask("rollback")
            raise
        except OSError as error:
            raise NotDone(f"before COMMIT: {error}") from error
        session.ask("commit")

    def _session(self, kind: str) -> Session:
        """The connection to the primary ("read-write") or to the client's own member ("any"). Raises `NotDone`."""
        if kind not in self._sessions:
            try:
                self._sessions[kind] = Session(self._conninfo(kind), self._timeout)
            except NotDone:
                if kind == "read-write":
                    time.sleep(BACKOFF)
                raise
        return self._sessions[kind]

    def _conninfo(self, kind: str) -> dict[str, Any]:
        members = self._members.values() if kind == "read-write" else [self._members[self._node]]
        hosts, ports = zip(*members, strict=True)
        where = {"host": ",".join(hosts), "port": ",".join(map(str, ports)), "target_session_attrs": kind}
        return {**self._access, **where, "connect_timeout": CONNECTING, "application_name": "nodewise workload"}

    def _plain(self, kind: str) -> psycopg.Connection[Any]:
        """A connection for the data set, whose statements take longer than a client's."""
        return psycopg.Connection.connect(**self._conninfo(kind), options="-c statement_timeout=60s")

    def _catch_up(self) -> None:
        """Wait until the client's own member has replayed what the primary has now."""
        ((flushed,),) = self._session("read-write").ask("select pg_current_wal_flush_lsn()")
        until = time.monotonic() + CATCH_UP
        while self._session("any").ask(CAUGHT_UP, str(flushed)) != [["t"]]:
            if time.monotonic() > until:
                raise TimeoutError(f"{self._node} did not replay {flushed}, where the primary was, within {CATCH_UP:g} s")
            time.sleep(POLL)

    def _name(self, session: Session) -> str:
        """The member that a session is with."""
        return next((name for name, at in self._members.items() if at == session.at), self._node)


class _oserrors:  # noqa: N801  (reads as what it does)
    """psycopg's errors as the `OSError` that clients raise."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            raise ConnectionError(_line(error)) from error


def statements(operation: Operation) -> Statements:
    """What performs an operation that changes something: statements of one transaction, each with its values."""
    key, value = operation.key, operation.value
    if operation.f == "transfer":
        ways = sorted([(value["from"], -value["amount"]), (value["to"], value["amount"])])  # one order of locks for all
        booked = f"{value['from']} > {value['to']}: {value['amount']}"
        return [(ADD, (key, booked)), *((PAY, (account, str(amount))) for account, amount in ways)]
    if operation.f == "cas":
        return [(CREATE, (key, value)) if operation.old is None else (CAS, (key, value, operation.old))]
    if operation.f == "deposit":
        return [(DEPOSIT, (json.dumps(value),))]
    return [({"write": WRITE, "add": ADD, "append": APPEND}[operation.f], (key, value))]


def _perform(session: Session, statement: str, values: tuple[str, ...]) -> None:
    """One statement. Raises `Declined` where it was to change a row and found none."""
    if not session.ask(statement, *values) and statement in (CREATE, CAS, PAY):
        raise Declined("not enough on the account, or there is none" if statement == PAY else "another value is there")


def url(address: str) -> str:
    """Where clients reach a member, as its role sets it up."""
    return f"postgresql://{address}:5432"


def connect(urls: Mapping[str, str], credentials: Credentials | None, timeout: float = TIMEOUT) -> ClientFactory:
    """A factory of clients for members by name. `urls`: where each is reached. Raises `OSError` without a readable password."""
    where = {node: urlsplit(url) for node, url in urls.items()}
    members = {node: (url.hostname or "", url.port or 5432) for node, url in where.items()}
    access: dict[str, Any] = {"user": "nodewise", "dbname": "nodewise", "gssencmode": "disable"}
    if credentials:
        access |= {"password": Path(credentials.password).read_text().strip(), "require_auth": "scram-sha-256"}
        access |= {"sslmode": "verify-full", "sslrootcert": credentials.ca}
    return lambda node: PostgresqlClient(node, members, access, timeout)


def _row(result: Any, number: int) -> list[str | None]:
    values = [result.get_value(number, column) for column in range(result.nfields)]
    return [None if value is None else value.decode() for value in values]


def _line(error: object) -> str:
    """What an error says, in one line."""
    return cut(" ".join(str(error).split()), 200) or type(error).__name__
