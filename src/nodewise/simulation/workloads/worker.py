# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One client of a load: where it is, and how it performs an operation in spite of failures."""

from __future__ import annotations

import time

import msgspec

from nodewise.model import Operation
from nodewise.simulation.workloads.client import Client, ClientFactory, Operations
from nodewise.simulation.workloads.history import History
from nodewise.simulation.workloads.stats import Tally

AWAY = 2.0  # seconds after which a client that was driven off its own node tries it again
BREATH = 0.02  # seconds between rounds over all nodes, when none of them answers


class Around:
    """A client's way around the nodes: at home, at the next node after a failure, and home again after a while."""

    def __init__(self, factory: ClientFactory, nodes: list[str]) -> None:
        self.nodes = nodes
        self._factory = factory
        self._at = 0
        self._since = 0.0
        self._client: Client | None = None

    @property
    def node(self) -> str:
        """Where it is now."""
        return self.nodes[self._at]

    def client(self) -> Client:
        """The open client of this node. Raises `OSError` when it cannot be opened: then nothing was sent."""
        if self._client is None:
            client = self._factory(self.node)
            try:
                client.open()
            except OSError:
                client.close()
                raise
            self._client = client
        return self._client

    def move_on(self) -> None:
        """Leave this node for the next one."""
        self.leave()
        self._at = (self._at + 1) % len(self.nodes)
        self._since = time.monotonic()

    def go_home(self) -> None:
        """Go back to the own node when it is time to see whether it is there again."""
        if self._at and time.monotonic() - self._since > AWAY:
            self.leave()
            self._at = 0

    def leave(self) -> None:
        """Close the connection."""
        if self._client:
            self._client.close()
        self._client = None


class Worker:
    """Performs operations one after the other, each until it is answered or `deadline` seconds old."""

    def __init__(self, process: int, todo: Operations, around: Around, history: History, tally: Tally, deadline: float) -> None:
        self.process = process
        self.around = around
        self._todo = todo
        self._history = history
        self._tally = tally
        self._deadline = deadline
        self._last: Operation | None = None

    def step(self, due: float | None = None) -> None:
        """Perform the next operation, which was due at this time (monotonic; now, unless it is said)."""
        operation, outcomes = self._todo.send(self._last), list[str]()
        began = time.monotonic() if due is None else due
        self.around.go_home()
        while True:
            self._last = self._attempt(operation)
            outcomes.append(self._last.type)
            now = time.monotonic()
            if self._last.type == "ok" or self._last.refused:
                return self._tally.acknowledged(self.process, began, now)
            self.around.move_on()
            if now - began > self._deadline:
                return self._tally.gave_up(ambiguous="info" in outcomes)
            if len(outcomes) % len(self.around.nodes) == 0:
                time.sleep(BREATH)
            self._tally.retried()

    def _attempt(self, operation: Operation) -> Operation:
        asked = msgspec.structs.replace(operation, time=self._history.now(), node=self.around.node)
        self._history.append(asked)
        try:
            client = self.around.client()
        except OSError as error:  # nothing was sent yet, so nothing can have happened
            done = msgspec.structs.replace(asked, type="fail", error=f"{type(error).__name__}: {error}")
        else:
            done = client.invoke(asked)
        self._history.append(msgspec.structs.replace(done, time=self._history.now()))
        return done
