# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about faults: how soon a partition is proved and healed, and what a scenario takes beyond its own durations."""

from __future__ import annotations

import time
from pathlib import Path

from nodewise.bench.command import program, timed
from nodewise.bench.figures import Row
from nodewise.record import journal
from nodewise.simulation import scenario
from nodewise.simulation.faults.act import Act
from nodewise.simulation.faults.registry import read
from nodewise.simulation.hosts import scene_of
from nodewise.testnet import lifecycle
from nodewise.testnet.request import Request

NET, DISTURBED = "benchfaults", "benchscenario"
NODES, LEASE = 5, 2.0
NAME, SEED = "leader-isolated", 4711
RING = {"id": "ring", "kind": "partition", "mode": "ring"}


class Faults:
    """A ring of five nodes, which nobody renews; and `testnet run`, from its start to its end."""

    def __init__(self, folder: Path) -> None:
        self.proved = Row(f"partition-{NODES}", f"a partition of {NODES} nodes, until it is proved", "s", "value", 1)
        self.healed = Row(
            "partition-healed", "how long after a lease from when it was asked for the last node had undone it", "s", "value", 1
        )
        self.beyond = Row("scenario", f"{NAME}, less warm-up and faults", "s", "value", 10)
        self.rows = [self.proved, self.healed, self.beyond]
        self._folder = folder

    def prepare(self) -> None:
        """Nodes that are reached, as those of a scenario are before its first fault."""
        self.clean()
        self._scene = scene_of(lifecycle.up(Request(NET, NODES)), None)
        for host in self._scene.hosts.values():
            host.run(":")

    def round(self, number: int) -> None:
        """One sample of each."""
        record = self._folder / f"partition-{number}.jsonl"
        act, began = Act(read(RING), self._scene, record), time.monotonic()
        try:
            act.begin(LEASE, LEASE)
            self.proved.nodewise.append(time.monotonic() - began)
            time.sleep(2 * LEASE)  # the nodes heal it
        finally:
            act.end(LEASE)
        asked, *_, healed = journal.read(record)
        self.healed.nodewise.append(max(one["ended"] for one in healed["on_nodes"].values()) - asked["t"] / 1e9 - LEASE)
        words = [program("testnet"), "run", NAME, "--seed", str(SEED), "--name", DISTURBED]
        took = timed(words, self._folder / f"scenario-{number}.log")
        self.beyond.nodewise.append(took - own(scenario.load(NAME)))

    def clean(self) -> None:
        """Remove the nodes of both."""
        for name in (NET, DISTURBED):
            lifecycle.down(name)


def own(one: scenario.Scenario) -> float:
    """The seconds that a scenario whose faults begin at fixed times asks for itself: warm-up, before and after, and faults."""
    return 2 * one.workload.warmup + max(event.at + event.lasts for event in one.events(SEED))
