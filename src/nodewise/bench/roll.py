# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about the upgrade of three nodes under load: a shell loop, a usual playbook, and nodewise, on one cluster in turn."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from nodewise.bench import phases, stalls
from nodewise.bench.command import ansible, program, timed
from nodewise.bench.figures import Row
from nodewise.bench.fixture import HERE, SEED, EtcdFixture, Fixture
from nodewise.errors import SetupError
from nodewise.record import journal
from nodewise.record.journal import Record
from nodewise.record.run import Run
from nodewise.releases import sources
from nodewise.releases.rules import load_rules
from nodewise.simulation.harness import at_work
from nodewise.simulation.workloads.load import Shape
from nodewise.simulation.workloads.stats import Stats
from nodewise.testnet import lifecycle, roles, ssh
from nodewise.testnet.request import Request

FROM, TO = "3.4.23", "3.5.16"
BREATH = 1.0  # seconds of work before an upgrade begins, and after it has ended


class Seen(NamedTuple):
    """An upgrade by the clock, and what clients saw: in all, each of their waits, and when the command ran."""

    seconds: float
    stats: Stats
    waits: list[stalls.Wait]
    during: stalls.Wait


class Rolling:
    """Upgrades of one cluster again and again, under load, each from where the one before began."""

    name: str  # of the testnet
    system: str
    target: str
    fixture: Fixture
    rows: list[Row]
    phases: dict[str, list[dict[str, float]]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clean(self) -> None:
        """Remove the cluster."""
        lifecycle.down(self.name)

    def playbook(self, row: str, number: int) -> float:
        """The user's own command, to its summary; an outcome other than `upgraded` has no figure."""
        record = self.folder / f"{row}-{number}"
        given = {"nodewise_cluster": self.name, "nodewise_to": self.target, "nodewise_approve": "any"}
        words = [program("ansible-playbook"), "playbooks/upgrade.yml", "-e", json.dumps(given)]
        env = {**ansible(self.fixture.net), "NODEWISE_RUN_DIR": str(record), "NODEWISE_VIEW": "plain"}
        began = time.time_ns()
        took = timed(words, self.folder / f"{row}-{number}.log", env)
        outcome = Run(record).read_json("summary.json").get("outcome")
        if outcome != "upgraded":
            raise SetupError(f"the upgrade ended {outcome}, expected upgraded; it has no figure. Its record: {record}")
        self.phases[row].append(phases.shares(self.journal(row, number), began, began + int(took * 1e9)))
        return took

    def journal(self, row: str, number: int) -> list[Record]:
        """The records of one of those upgrades."""
        return journal.read(self.folder / f"{row}-{number}" / "journal.jsonl")

    def under_load(self, upgrade: Callable[[], float], unstaged: str = "") -> Seen:
        """Seconds of an upgrade of the cluster as it was kept, and what clients saw. SetupError unless all run the target then."""
        self.fixture.put_back(unstaged)
        with tempfile.TemporaryDirectory() as folder:
            path, shape = Path(folder) / "history.jsonl", Shape("/nodewise/bench/", SEED)
            with at_work(self.fixture.factory, self.fixture.names, path, shape) as work:
                epoch = time.time_ns() - work.history.now()
                time.sleep(BREATH)
                began = time.time_ns()
                seconds = upgrade()
                during = stalls.Wait(began, time.time_ns())
                time.sleep(BREATH)
            waits = stalls.waits(work.seen(), epoch)
        found = {member.version for member in self.fixture.status()}
        if found != {self.target}:
            raise SetupError(
                f"the members run {', '.join(sorted(found))} after the upgrade, expected {self.target}; it has no figure"
            )
        return Seen(seconds, work.stats(), waits, during)


class Roll(Rolling):
    """The upgrade by each contender, on the same data, from the same version, with the same leader."""

    name, system, target = "benchroll", "etcd", TO

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.roll = Row("roll", "3 nodes upgraded, the release staged beforehand", "s", "ratio", 3.5)
        self.upgrade = Row("upgrade", "the same with nothing staged, beside the usual playbook with a download", "s", "ratio", 1)
        self.stall = Row("stall", "a client's longest wait in `roll`, while nodes were changed", "ms", "ratio", 1.2)
        self.stall_whole = Row("stall-whole", "the same from the command to its end: probing and staging count", "ms", "ratio", 2)
        self.failed = Row("failed", "clients' operations that failed, in `roll` and `upgrade`", "operations", "value", 0)
        self.rows = [self.roll, self.upgrade, self.stall, self.stall_whole, self.failed]
        self.phases: dict[str, list[dict[str, float]]] = {"roll": [], "upgrade": []}

    def prepare(self) -> None:
        """A cluster with data, kept as it is before any upgrade."""
        lifecycle.down(self.name)
        self.fixture = EtcdFixture(lifecycle.up(Request(self.name, 3, system=self.system, version=FROM)))
        self.fixture.keep()

    def round(self, number: int) -> None:
        """A sample of each, every round beginning with another one. `upgrade` is first: it leaves the release for the others."""
        self._usual_upgrade(number)
        self._upgrade(number)
        contenders = [self._floor, self._usual, self._nodewise]
        for step in range(len(contenders)):
            contenders[(number + step) % len(contenders)](number)

    def _floor(self, number: int) -> None:
        net = self.fixture.net
        words = ssh.command(net, net.nodes[0])[:-1]  # without the node: the loop names it
        command = ["bash", str(HERE / "floor_roll.sh"), TO, " ".join(self.fixture.addresses), *words]
        self._contend("floor", number, lambda: timed(command, self.folder / f"roll-{number}-floor.log"))

    def _usual(self, number: int) -> None:
        words = [program("ansible-playbook"), str(HERE / "usual.yml"), "-e", f"usual_version={TO}"]
        self._contend("usual", number, lambda: timed(words, self.folder / f"roll-{number}-usual.log", ansible(self.fixture.net)))

    def _nodewise(self, number: int) -> None:
        self._contend("nodewise", number, lambda: self.playbook("roll", number))

    def _usual_upgrade(self, number: int) -> None:
        release = msgspec.to_builtins(sources.resolve(load_rules(roles.find(self.system)), TO, {}, platform.machine()))
        words = [program("ansible-playbook"), str(HERE / "usual_staging.yml"), str(HERE / "usual.yml")]
        words += ["-e", json.dumps({"usual_version": TO, "usual_release": release})]
        log = self.folder / f"upgrade-{number}-usual.log"
        seen = self.under_load(lambda: timed(words, log, ansible(self.fixture.net)), unstaged=TO)
        self.upgrade.floor.append(seen.seconds)

    def _upgrade(self, number: int) -> None:
        seen = self.under_load(lambda: self.playbook("upgrade", number), unstaged=TO)
        self.upgrade.nodewise.append(seen.seconds)
        self.failed.nodewise.append(seen.stats.failed + seen.stats.info)

    def _contend(self, contender: str, number: int, upgrade: Callable[[], float]) -> None:
        """One sample of a contender."""
        seen = self.under_load(upgrade)
        rolled = stalls.stepping(self.journal("roll", number), "roll") if contender == "nodewise" else seen.during
        getattr(self.roll, contender).append(seen.seconds)
        getattr(self.stall, contender).append(stalls.longest_ms(seen.waits, rolled))
        getattr(self.stall_whole, contender).append(seen.stats.longest_stall_ms)
        getattr(self.failed, contender).append(seen.stats.failed + seen.stats.info)
