# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about the upgrade of three nodes of PostgreSQL under load: a shell loop beside nodewise, on one cluster in turn."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from nodewise.bench import stalls
from nodewise.bench.command import timed
from nodewise.bench.figures import Row
from nodewise.bench.fixture import HERE, SEED, Fixture, Member, script
from nodewise.bench.roll import Rolling
from nodewise.errors import SetupError
from nodewise.model import Operation
from nodewise.simulation.workloads.client import Client
from nodewise.simulation.workloads.data import seed_data
from nodewise.testnet import lifecycle, ssh
from nodewise.testnet.request import Request

FROM, TO = "15.18", "15.20"
READY = 90.0  # seconds until all replicas stream
PAUSE = 0.3
NOTABLE = 20_000_000  # ns: shorter waits of the writer are those of a busy machine
SAYS = """select current_setting('server_version'), pg_is_in_recovery(),
  (select count(*) from pg_stat_replication where state = 'streaming')"""


class PostgresqlFixture(Fixture):
    """The cluster on a testnet. Its data goes on from one upgrade to the next: a minor does not change it."""

    def keep(self) -> None:
        """Fill the cluster with data."""
        seed_data(self.factory(self.net.nodes[0].name), SEED)

    def put_back(self, unstaged: str = "") -> None:  # noqa: ARG002  (everything stays staged)
        """Have the first version run again, the last node leading."""
        leader, last = self._leader(), self.names[-1]
        replicas = [name for name in self.names if name != leader]
        for some in (replicas, [leader]):
            self.on(some, [script("restore_postgresql.sh", FROM)] * len(some))
        for some in ([leader], replicas):
            self.on(some, ["sudo systemctl start patroni"] * len(some))
        self._wait()
        if (leader := self._leader()) != last:
            self.on([leader], [f"sudo /opt/nodewise/patroni/patronictl switchover --leader {leader} --candidate {last} --force"])
            self._wait(last)

    def status(self) -> list[Member]:
        """What the members say of themselves, in the nodes' order."""
        return [Member(version.split()[0], leads=recovers == "f") for version, recovers, _ in self._ask()]

    def _ask(self) -> list[list[str]]:
        line = f"cd /; sudo runuser -u postgres -- psql -XAtc {shlex.quote(SAYS)}"
        return [said.strip().split("|") for said in self.on(self.names, [line] * len(self.names))]

    def _leader(self) -> str:
        (leader,) = (name for name, member in zip(self.names, self.status(), strict=True) if member.leads)
        return leader

    def _wait(self, leader: str = "") -> None:
        """Until one member leads, the one that is named if one is, and all others stream from it."""
        until, wanted = time.monotonic() + READY, len(self.net.nodes) - 1
        while True:
            try:
                said = dict(zip(self.names, self._ask(), strict=True))
                leading = [name for name, (_, recovers, streaming) in said.items() if (recovers, streaming) == ("f", str(wanted))]
                if len(leading) == 1 and leader in ("", *leading):
                    return
                seen = str(said)
            except (SetupError, ValueError) as error:
                seen = str(error)
            if time.monotonic() > until:
                raise SetupError(f"the members were not ready within {READY:g} s: {seen}")
            time.sleep(PAUSE)


class Writer:
    """Writes one row again and again, as quickly as it can, and notes how long it had to wait for each acknowledgement."""

    def __init__(self, client: Client) -> None:
        self.waits: list[stalls.Wait] = []
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        last, number = time.time_ns(), 0
        while not self._stop.wait(0.001):
            number += 1
            done = self._client.invoke(Operation(0, "invoke", "write", "/nodewise/writer", str(number), 0))
            if done.type != "ok":
                continue
            now = time.time_ns()
            if now - last > NOTABLE:
                self.waits.append(stalls.Wait(last, now))
            last = now


class PostgresqlRoll(Rolling):
    """The minor upgrade by each contender, on the same data, from the same version, with the same primary."""

    name, system, target = "benchpg", "postgresql", TO

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.roll = Row("postgresql-roll", "3 nodes of PostgreSQL, from the first batch to the end of the last", "s", "ratio", 2.5)
        self.whole = Row("postgresql-upgrade", "the whole command: it also looks, and backs up and restores", "s", "ratio", 2.5)
        self.handover = Row("postgresql-handover", "writers without a primary, in its switchover", "ms", "ratio", 1.3)
        self.failed = Row("postgresql-failed", "clients' operations that failed in it", "operations", "value", 0)
        self.rows = [self.roll, self.whole, self.handover, self.failed]
        self.phases = {"postgresql-roll": []}

    def prepare(self) -> None:
        """A cluster with data that was upgraded once: both versions are staged on its nodes."""
        lifecycle.down(self.name)
        self.fixture = PostgresqlFixture(lifecycle.up(Request(self.name, 3, system=self.system, version=FROM)))
        self.fixture.keep()
        self.playbook("postgresql-roll", 0)
        self.phases["postgresql-roll"].clear()

    def round(self, number: int) -> None:
        """A sample of each; every other round begins with the other one."""
        contenders = [self._floor, self._nodewise]
        for contender in contenders if number % 2 else reversed(contenders):
            contender(number)

    def _floor(self, number: int) -> None:
        net, log = self.fixture.net, self.folder / f"postgresql-roll-{number}-floor.log"
        nodes = " ".join(f"{node.name}={node.address}" for node in net.nodes)
        command = ["bash", str(HERE / "floor_postgresql.sh"), TO, nodes, *ssh.command(net, net.nodes[0])[:-1]]
        self._contend("floor", lambda: timed(command, log), lambda: _marked(log.read_text()))

    def _nodewise(self, number: int) -> None:
        row = "postgresql-roll"
        self._contend(
            "nodewise", lambda: self.playbook(row, number), lambda: stalls.stepping(self.journal(row, number), "handover")
        )

    def _contend(self, contender: str, upgrade: Callable[[], float], window: Callable[[], stalls.Wait]) -> None:
        writer = Writer(self.fixture.factory(self.fixture.names[0]))

        def written() -> float:
            with writer:
                return upgrade()

        seen = self.under_load(written)
        getattr(self.whole, contender).append(seen.seconds)
        serial = self.phases["postgresql-roll"][-1]["roll"] if contender == "nodewise" else seen.seconds
        getattr(self.roll, contender).append(serial)
        getattr(self.handover, contender).append(stalls.longest_ms(writer.waits, window()))
        getattr(self.failed, contender).append(seen.stats.failed + seen.stats.info)


def _marked(log: str) -> stalls.Wait:
    """When the switchover of the shell loop began and ended, as it printed it (ns since the epoch)."""
    at = {word: int(time) for word, _, time in (line.partition(" ") for line in log.splitlines()) if word in ("began", "ended")}
    if len(at) != 2:  # noqa: PLR2004  (those two)
        raise SetupError("the shell loop did not say when its switchover began and ended; there is no figure")
    return stalls.Wait(at["began"], at["ended"])
