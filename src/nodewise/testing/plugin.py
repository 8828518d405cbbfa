# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: `testnet`, on the nodes that `testnet_request` asks for, `faults` on it, and a `history` of clients at work."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # whoever has Nodewise installed, and uses none of this, does not wait for it
    from nodewise.model import Verdict
    from nodewise.simulation.faults.act import Act
    from nodewise.simulation.harness import Work
    from nodewise.testnet.request import Request
    from nodewise.testnet.state import Testnet

PATIENCE = 60.0  # seconds for clients to get so much done

Faults = Callable[[Mapping[str, Any]], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def testnet_request() -> Request:
    """What `testnet` is to be: three nodes with nothing on them. Define a fixture of this name for another one."""
    from nodewise.testnet.request import Request

    return Request(f"t{secrets.token_hex(3)}")


@pytest.fixture(scope="session")
def testnet(testnet_request: Request) -> Iterator[Testnet]:
    """A testnet that is up, with a cluster on it where one is asked for; removed when the tests are over."""
    from nodewise.testnet import lifecycle

    made = lifecycle.up(testnet_request)
    try:
        yield made
    finally:
        lifecycle.down(made.name)


@pytest.fixture
def faults(testnet: Testnet, tmp_path: Path) -> Faults:
    """A context manager: an entry of a scenario's `faults` around a block, proved before it and proved to be healed after it.

    The nodes hold it, and heal it within seconds when nobody renews it. Raises NotProved, UsageError.
    """
    from nodewise.simulation.disturb import refuse_unable
    from nodewise.simulation.faults.act import Act
    from nodewise.simulation.harness import clients_of
    from nodewise.simulation.hosts import scene_of
    from nodewise.simulation.schedule import plan

    scene = scene_of(testnet, clients_of(testnet) if testnet.system else None)

    @contextmanager
    def fault(given: Mapping[str, Any]) -> Iterator[None]:
        count = len(testnet.nodes)
        (event,) = plan([{"id": f"test-{secrets.token_hex(3)}", **given}], count, 0, max_down=count)
        refuse_unable([event], scene)
        act = Act(event.read(), scene, tmp_path / "journal.jsonl")
        try:
            act.begin(event.lasts)
            with _renewed(act):
                yield
        finally:
            act.end()

    return fault


@contextmanager
def _renewed(act: Act) -> Iterator[None]:
    """Renew a fault's lease until the block has ended."""
    from nodewise.simulation.faults.held import LEASE

    over = threading.Event()

    def renew() -> None:
        while not over.wait(LEASE / 3):
            act.renew()

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Clients:
    """Clients at work on the cluster of a testnet, and what a judge says of what they saw."""

    def __init__(self, net: Testnet, folder: Path) -> None:
        self._net, self._folder = net, folder
        self.verdicts: list[Verdict] = []

    @contextmanager
    def __call__(self, workload: str = "register", *, clients: int = 6, keys: int = 30, rate: float = 200.0) -> Iterator[Clients]:
        """Have them work around a block; then read everything back through each node, and judge. Raises UsageError."""
        from nodewise.simulation.harness import at_work, clients_of
        from nodewise.simulation.scenario import Progress
        from nodewise.simulation.workloads.data import seed_data
        from nodewise.simulation.workloads.load import Shape
        from nodewise.simulation.workloads.registry import workload_named

        factory, nodes, number = clients_of(self._net), [node.name for node in self._net.nodes], secrets.token_hex(4)
        checkers = workload_named(workload).checkers
        data = seed_data(factory(nodes[0]), 0)
        shape = Shape(f"/nodewise/{number}/", 0, clients, keys, rate)
        with at_work(factory, nodes, self._folder / f"history-{number}.jsonl", shape, workload) as self._work:
            yield self
            self._work.read_back(nodes, Progress().within)
        self.verdicts = self._work.judged(nodes, data, checkers)

    _work: Work

    def wait(self, operations: int) -> None:
        """Until so many more operations are acknowledged; a failure when that takes longer than a minute."""
        wanted, until = self._work.stats().ok + operations, time.monotonic() + PATIENCE
        while self._work.stats().ok < wanted:
            if time.monotonic() > until:
                missing = wanted - self._work.stats().ok
                pytest.fail(f"{missing} of {operations} operations were not acknowledged within {PATIENCE:g} s")
            threading.Event().wait(0.05)

    @property
    def verdict(self) -> Verdict:
        """All verdicts as one: invalid wins over unknown, unknown over valid; unknown before anything was judged."""
        from nodewise.simulation.checkers.registry import merge

        return merge(self.verdicts)


@pytest.fixture
def history(testnet: Testnet, tmp_path: Path) -> Clients:
    """A context manager: clients at work on the cluster around a block, whose history is then judged."""
    return Clients(testnet, tmp_path)
