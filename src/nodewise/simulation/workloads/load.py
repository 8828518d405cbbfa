# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients at work, each in a thread of its own: threads over http.client take 0.3 ms of CPU an operation, httpx took 1.5 ms."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from nodewise.errors import SetupError, UnknownResult
from nodewise.simulation.workloads import register
from nodewise.simulation.workloads.client import ClientFactory
from nodewise.simulation.workloads.history import History
from nodewise.simulation.workloads.registry import Workload
from nodewise.simulation.workloads.stats import Stats, Tally
from nodewise.simulation.workloads.worker import Around, Worker


class Shape(NamedTuple):
    """What a load is like; the same seed, clients and keys give the same operations."""

    prefix: str  # of its keys, a run's own: /nodewise/<run>/
    seed: int = 0
    clients: int = 6
    keys: int = 30  # registers
    rate: float = 200.0  # operations a second, of all clients together
    deadline: float | None = None  # seconds until an operation is given up, instead of the workload's own
    loop: Literal["closed", "open"] = "closed"  # open: what was missed is made up for, and latency counts from when it was due

    def check(self) -> None:
        """Raise `SetupError` for a load that would do nothing."""
        if self.clients < 1 or self.keys < 1 or self.rate <= 0:
            raise SetupError(f"a load with clients={self.clients}, keys={self.keys}, rate={self.rate}: expected more than 0.")


class Load:
    """Seeded clients at work on `nodes`, names that `factory` knows. Client i begins at node i and moves on when it fails there.

    Everything is recorded in `history`, each attempt as an operation of its own: an attempt that may have happened stays so,
    however well the next one goes.
    """

    def __init__(
        self, factory: ClientFactory, nodes: Sequence[str], history: History, shape: Shape, workload: Workload = register
    ) -> None:
        shape.check()
        if not nodes:
            raise SetupError("a load on no nodes: expected the names of the cluster's members.")
        self._stop = threading.Event()
        self._tally = Tally(shape.clients)
        self._crashes: list[str] = []
        self._interval, self._open = shape.clients / shape.rate, shape.loop == "open"
        self._workers = []
        deadline = workload.deadline if shape.deadline is None else shape.deadline
        for process in range(shape.clients):
            todo = workload.operations(shape.seed, process, shape.clients, shape.keys, shape.prefix)
            around = Around(factory, [nodes[(process + n) % len(nodes)] for n in range(len(nodes))])
            self._workers.append(Worker(process, todo, around, history, self._tally, deadline))
        self._threads = [threading.Thread(target=self._run, args=(worker,), daemon=True) for worker in self._workers]

    def start(self) -> Load:
        """Begin; returns at once."""
        self._tally.begin(time.monotonic())
        for thread in self._threads:
            thread.start()
        return self

    def stats(self) -> Stats:
        """What has happened until now; costs some microseconds."""
        return self._tally.stats(time.monotonic())

    def stop(self) -> Stats:
        """Let each client finish its operation, at most until that one's deadline, and say what happened in all. Twice is fine.

        Raises `UnknownResult` when a client crashed: the rest of its history is missing.
        """
        if not self._stop.is_set():
            self._stop.set()
            self._tally.end(time.monotonic())
        for thread in self._threads:
            thread.join()
        if self._crashes:
            raise UnknownResult(f"{len(self._crashes)} client(s) crashed, the history cannot be judged: {self._crashes[0]}")
        return self.stats()

    def _run(self, worker: Worker) -> None:
        due = time.monotonic() + self._interval * worker.process / len(self._workers)
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                worker.step(due if self._open else None)
                due += self._interval
                if not self._open:
                    due = max(due, time.monotonic())  # what was missed is not made up for in a burst
        except Exception as error:  # noqa: BLE001 a defect of a client, whatever it is, ends in unknown, never in a shorter history
            self._crashes.append(f"client {worker.process}: {type(error).__name__}: {error}")
        finally:
            worker.around.leave()
