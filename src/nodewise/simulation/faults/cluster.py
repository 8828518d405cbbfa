# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What faults of a cluster share: no host is disturbed, the cluster is asked for it through a client of one of its members."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from typing import Any, ClassVar

from nodewise.simulation.faults.fault import Fault, Means
from nodewise.simulation.faults.host import HostError, Scene

PATIENCE, POLL = 10.0, 0.5  # seconds


class OfCluster(Fault, kw_only=True):
    """A fault of the cluster as a whole, done from here."""

    here: ClassVar[bool] = True
    asks: ClassVar[type]  # what a client must be able to do, as a protocol

    def takes(self, nodes: int) -> int:  # noqa: ARG002 (the protocol's name)
        """Nobody is away."""
        return 0

    def on(self, scene: Scene) -> dict[str, Means]:
        """Through whichever member answers."""
        return {next(iter(scene.hosts)): Means("a client of the cluster", "", "")}

    def cannot(self, scene: Scene) -> str:
        """Whether its clients can."""
        client = scene.client(next(iter(scene.hosts))) if scene.client else None
        return "" if isinstance(client, self.asks) else f"clients of this system have no way to do {self.kind}"


@contextmanager
def member(scene: Scene, but: Collection[str] = ()) -> Iterator[Any]:
    """A client of the first member that answers, open, of none on the hosts `but`. HostError where none does, or when it fails."""
    if scene.client is None:
        raise HostError("there is no cluster to ask")
    why = ""
    for name in (one for one in scene.hosts if one not in but):
        client = scene.client(name)
        with closing(client):
            try:
                client.open()
            except OSError as error:
                why = f"{name}: {error}"
                continue
            try:
                yield client
            except OSError as error:
                raise HostError(f"{name}: {error}") from error
            return
    raise HostError(f"no member answers: {why}")


def patiently(change: Callable[[], None]) -> None:
    """Change the members; etcd refuses to until all have been connected for some seconds. Raises HostError when it still does."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return change()
        except HostError:
            if time.monotonic() > until:
                raise
            time.sleep(POLL)
