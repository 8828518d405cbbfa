# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A described service as a rehearsal's clients reach it: values by key over HTTP, as `nodewise_app.workload` says."""

from __future__ import annotations

import http.client
import random
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec

from nodewise.errors import UsageError
from nodewise.model import Operation
from nodewise.simulation.workloads.client import Client, ClientFactory, Credentials
from nodewise.systems.app.description import Http, Keys, read
from nodewise.text import cut

TIMEOUT = 2.0  # seconds for an answer
NO_SUCH_KEY = 404
BEFORE = 100  # keys of the data from before


class Answered(OSError):
    """Another status than the one that was expected."""


class NothingSent(OSError):
    """No connection was made, so nothing was asked."""


class Described:
    """A service by its description: what `catalog` finds for the system `app` of a cluster with these variables."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        app = read(variables.get("nodewise_app", {}))
        ready = app.ready.http
        # Where nothing says how values are kept, whether a member is ready is still asked of it: a program may be the workload.
        self._keys = app.workload or (Keys(get=ready, set=ready) if ready else None)
        self.UNIT, self.DATA = app.name, f"/var/lib/nodewise/{app.name}"
        self.OPERATIONS = frozenset({"write", "add"} if app.workload else ())

    def url(self, address: str) -> str:
        """Where clients reach a node: the description has the rest."""
        return address

    def connect(self, urls: Mapping[str, str], credentials: Credentials | None) -> ClientFactory:  # noqa: ARG002  (it has its own)
        """A factory of clients. Raises UsageError where the description says nothing that they could ask."""
        if not (keys := self._keys):
            raise UsageError("clients of a rehearsal ask over HTTP: nodewise_app has neither workload nor ready.http")
        return lambda node: KeysClient(urls[node], keys, holds=bool(self.OPERATIONS))


def described(variables: Mapping[str, Any]) -> Described:
    """The service that these variables of a cluster describe. Raises UsageError with what is wrong in the description."""
    return Described(variables)


class KeysClient(Client):
    """A client of one member at `address`, or of whoever the description names in front of it."""

    def __init__(self, address: str, keys: Keys, *, holds: bool) -> None:
        self._address, self._keys, self._holds = address, keys, holds
        self._connections: dict[tuple[str, str, int], http.client.HTTPConnection] = {}

    def open(self) -> None:
        """Connect."""
        self._connected(self._keys.get)

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        for connection in self._connections.values():
            with suppress(OSError):
                connection.close()
        self._connections.clear()

    def invoke(self, operation: Operation) -> Operation:
        """Set a key, or read one. Whatever was asked and not answered as expected may have happened."""
        reads = operation.f == "read"
        try:
            if reads:
                return msgspec.structs.replace(operation, type="ok", value=self.get(operation.key))
            self.set(operation.key, str(operation.value))
        except OSError as error:
            outcome = "fail" if reads or isinstance(error, NothingSent) else "info"
            return msgspec.structs.replace(operation, type=outcome, error=f"{type(error).__name__}: {error}")
        return msgspec.structs.replace(operation, type="ok")

    def get(self, key: str) -> str | None:
        """The value of a key; None where there is none."""
        status, text = self._ask(self._keys.get, key, "")
        if status == NO_SUCH_KEY:
            return None
        return _expected(self._keys.get, status, text)

    def set(self, key: str, value: str) -> None:
        """Set a key to a value."""
        _expected(self._keys.set, *self._ask(self._keys.set, key, value))

    def seed(self, seed: int) -> dict[str, str]:
        """Write the data from before; returns it: none where no values are kept."""
        chosen = random.Random(seed)
        pairs = {f"before.{number}": f"{chosen.getrandbits(64):016x}" for number in range(BEFORE if self._holds else 0)}
        for key, value in pairs.items():
            self.set(key, value)
        return pairs

    def differences(self, expected: Mapping[str, str]) -> list[str]:
        """What of the data from before is missing or different, a line each."""
        found = {key: self.get(key) for key in expected}
        return [f"{key} is {found[key]}, expected {value}" for key, value in expected.items() if found[key] != value]

    def _ask(self, wanted: Http, key: str, value: str) -> tuple[int, str]:
        named = key.strip("/").replace("/", ".")

        def filled(text: str, whole: bool = True) -> str:
            said = (named, value) if whole else (quote(named, safe=""), quote(value, safe=""))
            return text.replace("{key}", said[0]).replace("{value}", said[1])

        connection = self._connected(wanted)
        headers = {name: filled(text) for name, text in wanted.headers.items()}
        try:
            connection.request(wanted.method, filled(wanted.path, whole=False), filled(wanted.body).encode() or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.close()  # half an answer may be left in it
            raise error if isinstance(error, OSError) else Answered(f"no answer in HTTP: {error!r}") from None

    def _connected(self, wanted: Http) -> http.client.HTTPConnection:
        where = (wanted.scheme, wanted.host or self._address, wanted.port)
        if where not in self._connections:
            connection = _connection(wanted, *where[1:])
            try:
                connection.connect()
            except OSError as error:
                raise NothingSent(str(error)) from None
            self._connections[where] = connection
        return self._connections[where]


def _connection(wanted: Http, host: str, port: int) -> http.client.HTTPConnection:
    if wanted.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    context = ssl.create_default_context(cafile=wanted.ca or None)
    if wanted.cert:
        context.load_cert_chain(wanted.cert, wanted.key or None)
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)


def _expected(wanted: Http, status: int, text: str) -> str:
    if status != wanted.status:
        raise Answered(f"status {status}, expected {wanted.status}: {cut(text, 80)}")
    return text
