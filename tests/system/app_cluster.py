# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Described services on testnets: the example's, in good releases and in bad ones, and NATS JetStream."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml

from nodewise.systems.app.example import release, write
from nodewise.testnet import lifecycle
from nodewise.testnet.request import Request
from tests.system import cluster


class Described(cluster.Cluster):
    """A testnet with a described service on it, which has no data set of ours."""

    system: ClassVar[str] = "app"

    def seed(self) -> Self:
        """Nothing is put into it."""
        return self

    def get(self, node: str, port: int, path: str) -> str:
        """What a member answers to a request."""
        with urllib.request.urlopen(f"http://{self.net.node(node).address}:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())


class Greeter(Described):
    """The example of `nodewise app init`."""

    unit: ClassVar[str] = "greeter"
    old: ClassVar[str] = "1.0.0"
    new: ClassVar[str] = "1.1.0"

    def version(self, node: str) -> str:
        """What the process says."""
        return str(json.loads(self.get(node, 8080, "/version"))["version"])

    def offer(self, **change: str) -> dict[str, Any]:
        """The new version as a release of one's own with other values in its program, as `nodewise_releases`."""
        content = release(self.new, **change)
        digest = hashlib.sha256(content).hexdigest()
        file = self.runs / f"greeter-{digest[:8]}.tar"
        file.write_bytes(content)
        artifact = {"kind": "tar", "url": f"controller://{file}", "sha256": digest}
        return {self.new: {"artifacts": [artifact], "binaries": {"greeter": "greeter"}}}

    def changed(self, **change: Any) -> dict[str, Any]:
        """The description with other fields, as `nodewise_app`."""
        return {**self.net.variables["nodewise_app"], **change}


class Nats(Described):
    """NATS JetStream as tests/system/nats.yml describes it."""

    unit: ClassVar[str] = "nats"
    old: ClassVar[str] = "2.10.25"
    new: ClassVar[str] = "2.15.1"

    def version(self, node: str) -> str:
        """What the process says."""
        return str(json.loads(self.get(node, 8222, "/varz"))["version"])


@contextmanager
def made(kind: type[Described], runs: Path, variables: dict[str, Any], nodes: int = 3) -> Iterator[Any]:
    """A testnet with the service that the variables describe; removed at the end."""
    request = Request(f"t{secrets.token_hex(3)}", nodes, system="app", version=kind.old, variables=variables)
    net = lifecycle.up(request)
    try:
        yield kind(net, runs)
    finally:
        lifecycle.down(net.name)


def example(folder: Path) -> dict[str, Any]:
    """The variables of the example."""
    return dict(yaml.safe_load(write(folder / "greeter").read_text()))


class Requests:
    """A client that asks members all the time, and counts what it was answered."""

    def __init__(self, urls: list[str], status: int = 200) -> None:
        self.urls, self.status = urls, status
        self.good, self.bad = 0, list[str]()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end.set()
        self._thread.join(10)

    def _run(self) -> None:
        number = 0
        while not self._end.wait(0.02):
            url, number = self.urls[number % len(self.urls)], number + 1
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (http)
                    answer.read()
                    self.good += 1
            except OSError as error:
                self.bad.append(f"{time.strftime('%H:%M:%S')} {url}: {error}")


class JetStream:
    """A client of JetStream over the text protocol: one request at a time, through whichever member answers."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses, self._line, self._stream = addresses, None, None

    def request(self, subject: str, body: Any, until: float) -> dict[str, Any]:
        """Ask until there is an answer; raises TimeoutError when there was none in time."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        while time.monotonic() < until:
            try:
                return self._ask(subject, payload)
            except (OSError, ValueError):
                self._line = None
                self.addresses = [*self.addresses[1:], self.addresses[0]]
                time.sleep(0.1)
        raise TimeoutError(subject)

    def _ask(self, subject: str, payload: bytes) -> dict[str, Any]:
        stream, inbox = self._connected(), f"_INBOX.{secrets.token_hex(6)}"
        head = f"SUB {inbox} 1\r\nUNSUB 1 1\r\nPUB {subject} {inbox} {len(payload)}\r\n".encode()
        stream.write(head + payload + b"\r\n")
        stream.flush()
        while line := stream.readline().split():
            if line[0] == b"PING":
                stream.write(b"PONG\r\n")
                stream.flush()
            elif line[0] == b"MSG":
                return dict(json.loads(stream.read(int(line[-1]) + 2)))
            elif line[0] in (b"-ERR", b"HMSG"):
                raise OSError(b" ".join(line))
        raise OSError("the member closed the connection")

    def _connected(self) -> Any:
        if self._line is None:
            self._line = socket.create_connection((self.addresses[0], 4222), 2)
            self._line.settimeout(2)
            self._stream = self._line.makefile("rwb")
            self._stream.readline()
            self._stream.write(b'CONNECT {"verbose":false,"headers":false}\r\n')
        return self._stream


class Publisher:
    """Publishes numbered messages all the time, and remembers which sequence number each acknowledged one got."""

    def __init__(self, addresses: list[str]) -> None:
        self.client, self.acknowledged = JetStream(addresses), dict[int, bytes]()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end.set()
        self._thread.join(40)

    def _run(self) -> None:
        number = 0
        while not self._end.wait(0.05):
            number += 1
            message = f"message {number}".encode()
            try:
                answer = self.client.request("words.x", message, time.monotonic() + 30)
            except TimeoutError:
                continue
            if "seq" in answer:
                self.acknowledged[answer["seq"]] = message
