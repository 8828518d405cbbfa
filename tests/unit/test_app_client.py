# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients of a described service, against a real HTTP server that keeps values."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest

from nodewise.errors import UsageError
from nodewise.model import Operation
from nodewise.simulation.workloads.client import Client
from nodewise.simulation.workloads.data import Holds, seed_data, verify_data
from nodewise.systems import catalog


class Values(http.server.BaseHTTPRequestHandler):
    """Values by key; `status` is what a write is answered by, and nothing is kept unless it is 204."""

    protocol_version = "HTTP/1.1"
    kept: ClassVar[dict[str, str]] = {}
    status: ClassVar[int] = 204

    def do_PUT(self) -> None:
        """Keep a value."""
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.status == 204:
            self.kept[unquote(self.path)] = json.loads(text)["value"]
        self.answer(self.status, "")

    def do_GET(self) -> None:
        """Give a value back."""
        found = self.kept.get(unquote(self.path))
        self.answer(404 if found is None else 200, found or "no such key")

    def answer(self, status: int, text: str) -> None:
        """Send a text."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text) if status != 204 else 0))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where the server listens."""
    Values.kept, Values.status = {}, 204
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Values)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def described(port: int, **changed: Any) -> dict[str, Any]:
    """The variables of a cluster of such a service."""
    put = {"port": port, "path": "/values/{key}", "method": "PUT", "body": '{"value": "{value}"}', "status": 204}
    return {
        "nodewise_app": {
            "name": "values",
            "command": "{bin}/values",
            "any": {"packages": ["values"]},
            "ready": {"http": {"port": port}},
            "version": {"command": "values --version"},
            "workload": {"get": {"port": port, "path": "/values/{key}"}, "set": put},
            **changed,
        }
    }


def client(port: int, **changed: Any) -> Client:
    """A client of the only member."""
    return catalog.find("app", described(port, **changed)).connect({"n1": "127.0.0.1"}, None)("n1")


def done(one: Client, f: str, key: str, value: str | None = None) -> tuple[str, str | None]:
    """How an operation ended, and with which value."""
    ended = one.invoke(Operation(0, "invoke", f, key, value, 0))  # type: ignore[arg-type]
    return ended.type, ended.value


def test_a_value_is_set_and_read(port: int) -> None:
    """By any key that a workload makes; one that was never set has no value."""
    one = client(port)
    assert ("ok", None) == done(one, "read", "/nodewise/run 1/k1")
    assert ("ok", "1.2") == done(one, "write", "/nodewise/run 1/k1", "1.2")
    assert ("ok", "1.2") == done(one, "read", "/nodewise/run 1/k1")
    assert {"/values/nodewise.run 1.k1": "1.2"} == Values.kept
    one.close()


@pytest.mark.parametrize("status", [200, 409, 500, 503])
def test_an_unexpected_answer_promises_nothing(status: int, port: int) -> None:
    """The write may have happened: whoever is in doubt says so."""
    Values.status = status
    one = client(port)
    assert "info" == done(one, "write", "k", "1")[0]
    one.close()


def test_a_read_that_is_not_answered_well_has_failed(port: int) -> None:
    """It has no value, which is another thing than that there is none."""
    Values.kept = {"/values/k": "1"}
    get = {"port": port, "path": "/values/{key}", "status": 206}
    one = client(port, workload={**described(port)["nodewise_app"]["workload"], "get": get})
    assert ("fail", None) == done(one, "read", "k")
    one.close()


def test_nobody_listens(port: int) -> None:
    """Nothing was sent, so nothing happened."""
    free = port + 1 if port < 65535 else port - 1
    one = client(free)
    assert "fail" == done(one, "write", "k", "1")[0]
    with pytest.raises(OSError, match="refused"):
        one.open()


def test_the_data_from_before(port: int) -> None:
    """It is written, found again, and missed where the service lost some of it."""
    make = client
    expected = seed_data(make(port), 4711)
    assert [] == verify_data(make(port), expected)
    del Values.kept["/values/before.7"]
    (line,) = verify_data(make(port), expected)
    assert line.startswith("before.7 is None, expected ")


def test_a_service_that_keeps_no_values(port: int) -> None:
    """Clients ask whether it is ready, and there is no data from before; a workload that writes is refused by its name."""
    Values.kept = {"/": "ready"}
    system = catalog.find("app", described(port, workload=None))
    assert frozenset() == catalog.operations("app", described(port, workload=None))
    one = system.connect({"n1": "127.0.0.1"}, None)("n1")
    assert isinstance(one, Holds)
    assert {} == one.seed(1)
    assert "ok" == done(one, "read", "k")[0]  # type: ignore[arg-type]
    one.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("workload", "says"),
    [
        ({"get": {"port": 1, "path": "/x"}, "set": {"port": 1, "path": "/{key}", "body": "{value}"}}, ".get: expected {key} in"),
        ({"get": {"port": 1, "path": "/{key}"}, "set": {"port": 1, "path": "/{key}"}}, ".set: expected {value} in"),
        ({"get": {"port": 1, "path": "/{key}"}}, ": missing required field `set`"),
        ({"gett": {}}, ".gett: there is no such field"),
    ],
)
def test_what_is_wrong_in_it(workload: dict[str, Any], says: str) -> None:
    """It is named by its path."""
    with pytest.raises(UsageError) as refused:
        catalog.find("app", described(1, workload=workload))
    assert f"nodewise_app.workload{says}" in str(refused.value)
