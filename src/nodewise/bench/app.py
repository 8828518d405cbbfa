# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about a described service, the example of `nodewise app init`: three members beside a shell loop, and many in batches."""

from __future__ import annotations

import json
import shutil
import statistics
import time
import urllib.request
from pathlib import Path

import yaml

from nodewise.bench.command import program, timed
from nodewise.bench.figures import Row
from nodewise.bench.fixture import HERE, Fixture, Member
from nodewise.bench.roll import Rolling
from nodewise.errors import SetupError
from nodewise.testnet import lifecycle, ssh
from nodewise.testnet.request import Request

OLD, NEW = "1.0.0", "1.1.0"
BATCHES = 3  # of so many members as a third of the nodes
BACK = f"sudo sh -c 'cd /opt/nodewise/greeter && ln -sfn releases/{OLD} .next && mv -T .next current && systemctl restart greeter'"


class Greeters(Fixture):
    """Members that keep nothing: only the version is put back."""

    def put_back(self, unstaged: str = "") -> None:  # noqa: ARG002  (all contenders find the release staged)
        """Have the first version run and serve."""
        self.on(self.names, [BACK] * len(self.names))
        if {member.version for member in self.status()} != {OLD}:
            raise SetupError(f"not every member could be put back to {OLD}")

    def status(self) -> list[Member]:
        """What the processes say."""
        return [Member(version(address), leads=False) for address in self.addresses]


class Described(Rolling):
    """Upgrades of so many members of the example, all staged beforehand."""

    system, target = "app", NEW

    def __init__(self, folder: Path, nodes: int, at_once: int) -> None:
        super().__init__(folder)
        self._nodes, self._at_once = nodes, at_once

    def prepare(self) -> None:
        """A cluster that had the new version once, so that it is staged."""
        lifecycle.down(self.name)
        example = self.folder / self.name
        shutil.rmtree(example, ignore_errors=True)
        timed([program("nodewise"), "app", "init", str(example)], self.folder / f"{self.name}-init.log")
        described = yaml.safe_load((example / "greeter.yml").read_text())
        variables = {**described, "nodewise_max_unavailable": self._at_once}
        self.fixture = Greeters(lifecycle.up(Request(self.name, self._nodes, system=self.system, version=OLD, variables=variables)))
        self.upgraded(0)

    def upgraded(self, number: int) -> float:
        """Seconds of the user's own command, from the first version."""
        self.fixture.put_back()
        return self.playbook(self.rows[0].name, number)

    def _checked(self) -> None:
        if (found := {member.version for member in self.fixture.status()}) != {NEW}:
            raise SetupError(f"the members run {', '.join(sorted(found))} after the upgrade, expected {NEW}; it has no figure")


class AppRoll(Described):
    """Three members one at a time, beside a shell loop."""

    name = "benchapp"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 3, 1)
        self.rows = [Row("app-roll", "a described service of 3 nodes upgraded, the release staged beforehand", "s", "ratio", 3)]
        self.phases = {"app-roll": []}

    def round(self, number: int) -> None:
        """A sample of each, every other round beginning with the other one."""
        contenders = [self._floor, self._nodewise]
        for contender in contenders if number % 2 else reversed(contenders):
            contender(number)

    def _nodewise(self, number: int) -> None:
        self.rows[0].nodewise.append(self.upgraded(number))

    def _floor(self, number: int) -> None:
        self.fixture.put_back()
        net = self.fixture.net
        words = ssh.command(net, net.nodes[0])[:-1]  # without the node: the loop names it
        command = ["bash", str(HERE / "floor_app.sh"), NEW, " ".join(self.fixture.addresses), *words]
        self.rows[0].floor.append(timed(command, self.folder / f"app-roll-{number}-floor.log"))
        self._checked()


class AppBatches(Described):
    """Many members in batches: the roll beside three times what one whole batch took in the same run."""

    name = "benchapps"

    def __init__(self, folder: Path, nodes: int) -> None:
        at_once = nodes // BATCHES
        super().__init__(folder, nodes, at_once)
        what = f"{nodes} nodes of it in batches of {at_once}, from the canary to the last; the floor is {BATCHES} times one batch"
        self.rows = [Row(f"app-batches-{nodes}", what, "s", "ratio", 1.5)]
        self.phases = {self.rows[0].name: []}

    def round(self, number: int) -> None:
        """One upgrade, and the median of its whole batches."""
        row = self.rows[0]
        self.upgraded(number)
        self._checked()
        records = self.journal(row.name, number)
        begun = [(one["t"], len(one["nodes"])) for one in records if "batch" in one]
        ended = [at for at, _members in begun[1:]]
        ended.append(next(one["t"] for one in records if (one.get("step"), one["phase"]) == ("roll", "end")))
        whole = [(end - at) / 1e9 for (at, members), end in zip(begun, ended, strict=True) if members == self._at_once]
        row.nodewise.append((ended[-1] - begun[0][0]) / 1e9)
        row.floor.append(BATCHES * statistics.median(whole))


def version(address: str) -> str:
    """What the process of a member says, which may just have begun. SetupError when it does not answer."""
    until = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}:8080/version", timeout=5) as answer:
                return str(json.load(answer)["version"])
        except OSError as error:
            if time.monotonic() > until:
                raise SetupError(f"{address} does not say its version: {error}") from error
        time.sleep(0.05)
