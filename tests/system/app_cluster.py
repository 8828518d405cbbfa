# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Described services on testnets: the example's, in good releases and in bad ones."""

from __future__ import annotations

import hashlib
import json
import secrets
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


def haproxy(backend: str, check: str = "/health", fall: int = 5, more: str = "  retries 0\n") -> str:
    """Settings of a balancer on port 80, which is told over port 9999; a line for each server comes behind them."""
    return f"""
global
  stats socket ipv4@*:9999 level admin
defaults
  mode http
  timeout connect 5s
  timeout check 5s
  timeout client 30s
  timeout server 30s
{more}frontend all
  bind *:80
  default_backend {backend}
backend {backend}
  option httpchk GET {check}
  default-server check inter 300ms fall {fall} rise 1
"""


class Described(cluster.Cluster):
    """A testnet with a described service on it, which has no data set of ours."""

    system: ClassVar[str] = "app"

    def seed(self) -> Self:
        """Nothing is put into it."""
        return self

    def lease(self, node: str) -> Any:
        """Who holds a node, as it remembers it."""
        return json.loads(self.root(node, f"cat /opt/nodewise/{self.unit}/state.json 2>/dev/null || echo '{{}}'")).get("lease")

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
