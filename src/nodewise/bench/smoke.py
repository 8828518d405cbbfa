# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The row about a smoke run: a suite of scripts on each node, beside an ssh a script."""

from __future__ import annotations

import json
import time
from pathlib import Path

from nodewise.bench.command import ansible, program, timed
from nodewise.bench.figures import Row
from nodewise.errors import SetupError
from nodewise.record import journal
from nodewise.record.run import Run
from nodewise.testnet import lifecycle, ssh
from nodewise.testnet.request import Request

SCRIPTS = 100
FLOOR = Path(__file__).with_name("floor_smoke.sh")


class Smoke:
    """`playbooks/smoke.yml`, from its journal's first record: what is before is ansible-playbook's own start."""

    def __init__(self, count: int, folder: Path) -> None:
        what = f"{SCRIPTS} scripts of `true` on each of {count} nodes, beyond the start of ansible-playbook"
        self.row = Row(f"smoke-{count}", what, "s", "ratio", 2)
        self.rows = [self.row]
        self._expected = SCRIPTS * count
        self._count = count
        self._folder = folder
        self._name = f"benchsmoke{count}"
        self._suite = folder / f"suite-{count}"
        self._inventory = folder / f"inventory-{count}.json"

    def prepare(self) -> None:
        """Bare nodes, a suite, and an inventory by which they are a cluster: no system runs on them."""
        lifecycle.down(self._name)
        self._net = lifecycle.up(Request(self._name, self._count))
        self._inventory.write_text(json.dumps({self._name: {"vars": {"nodewise_system": "etcd"}}}))
        self._suite.mkdir()
        for number in range(SCRIPTS):
            script = self._suite / f"{number:02}"
            script.write_text("#!/bin/sh\ntrue\n")
            script.chmod(0o755)

    def round(self, number: int) -> None:
        """One sample of each; every other round begins with the other one."""
        contenders = [self._floor, self._nodewise]
        for contender in contenders if number % 2 else reversed(contenders):
            for node in self._net.nodes:
                self._net.run(node.name, "true")  # the shared connections are open when the clock starts
            contender(number)

    def clean(self) -> None:
        """Remove the nodes."""
        lifecycle.down(self._name)

    def _floor(self, number: int) -> None:
        words = ssh.command(self._net, self._net.nodes[0])[:-1]  # without the node: the loop names it
        addresses = " ".join(node.address for node in self._net.nodes)
        log = self._folder / f"{self.row.name}-{number}-floor.log"
        self.row.floor.append(timed(["bash", str(FLOOR), str(self._suite), addresses, *words], log))

    def _nodewise(self, number: int) -> None:
        """A run in which not every script passed on every node has no figure."""
        record = self._folder / f"{self.row.name}-{number}"
        sources = ["-i", "inventories/testnet", "-i", str(self._inventory)]
        words = [program("ansible-playbook"), "playbooks/smoke.yml", *sources, "-e", f"nodewise_suite={self._suite}"]
        env = {**ansible(self._net), "NODEWISE_RUN_DIR": str(record), "NODEWISE_VIEW": "plain"}
        began = time.time_ns()
        took = timed(words, record.with_suffix(".log"), env)
        passed = Run(record).read_json("summary.json").get("smoke", {}).get("passed")
        if passed != self._expected:
            raise SetupError(f"{passed} scripts passed, expected {self._expected}; it has no figure. Its record: {record}")
        start = (journal.read(record / "journal.jsonl")[0]["t"] - began) / 1e9
        self.row.nodewise.append(took - start)
