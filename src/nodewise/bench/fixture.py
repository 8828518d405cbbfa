# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One cluster that is upgraded again and again: each contender finds the same data, version and leader."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from nodewise.errors import SetupError
from nodewise.simulation.harness import clients_of
from nodewise.simulation.workloads.data import seed_data
from nodewise.testnet import tools
from nodewise.testnet.state import Testnet

HERE = Path(__file__).parent
SEED = 1  # the same data in every run of the benchmark
ETCDCTL = (
    "sudo /opt/nodewise/etcd/current/bin/etcdctl --cacert /etc/nodewise/etcd/ca.crt"
    " --cert /etc/nodewise/etcd/node.crt --key /etc/nodewise/etcd/node.key"
)


class Member(NamedTuple):
    """A member as it says itself."""

    version: str
    leads: bool


class Fixture:
    """The cluster on a testnet, put back before each upgrade, so that all begin alike."""

    def __init__(self, net: Testnet) -> None:
        self.net = net
        self.factory = clients_of(net)

    @property
    def names(self) -> list[str]:
        """Of the nodes, in order."""
        return [node.name for node in self.net.nodes]

    @property
    def addresses(self) -> list[str]:
        """Of the nodes, in order."""
        return [node.address for node in self.net.nodes]

    def keep(self) -> None:
        """Fill the cluster with data, and keep what is needed to put it back."""
        raise NotImplementedError

    def put_back(self, unstaged: str = "") -> None:
        """Have the first version run, the last node leading; `unstaged` is a release to remove."""
        raise NotImplementedError

    def status(self) -> list[Member]:
        """What the members say of themselves, in the nodes' order."""
        raise NotImplementedError

    def on(self, names: Sequence[str], lines: Sequence[str]) -> list[str]:
        """Run a line on each of these nodes, side by side; what they printed."""
        with ThreadPoolExecutor(len(lines)) as pool:
            return list(pool.map(self._line, names, lines))

    def _line(self, node: str, line: str) -> str:
        done = self.net.run(node, line, timeout=120)
        if done.returncode:
            said = f"exit code {done.returncode}, {tools.last_line(done.stderr or done.stdout)}"
            raise SetupError(f"{node} could not be made ready for the next upgrade: {said}")
        return done.stdout


class EtcdFixture(Fixture):
    """What was kept is put back with the data as it was."""

    def keep(self) -> None:
        """Fill the cluster with data, stop it, and keep what it holds."""
        seed_data(self.factory(self.net.nodes[0].name), SEED)
        self._everywhere("restore.sh", "keep")

    def put_back(self, unstaged: str = "") -> None:
        """Have the first version run on the data that was kept, the last node leading; `unstaged` is a release to remove."""
        self._everywhere("restore.sh", "back", str(self.net.version), unstaged)
        self._lines(["sudo systemctl start etcd"] * len(self.net.nodes))
        endpoints = ",".join(f"https://{address}:2379" for address in self.addresses)
        self._lines([script("lead.sh", self.addresses[-1], endpoints)])

    def status(self) -> list[Member]:
        """What the members say of themselves, in the nodes' order."""
        said = self._lines([f"{ETCDCTL} --endpoints https://{address}:2379 endpoint status" for address in self.addresses])
        return [Member(version=words[2], leads=words[4] == "true") for words in (line.split(", ") for line in said)]

    def _everywhere(self, name: str, *words: str) -> None:
        self._lines([script(name, *words)] * len(self.net.nodes))

    def _lines(self, lines: list[str]) -> list[str]:
        """A line for each node, from the first on."""
        return self.on(self.names, lines)


def script(name: str, *words: str) -> str:
    """A line that runs a script of this folder on a node, as root."""
    return shlex.join(["sudo", "bash", "-c", (HERE / name).read_text(), name, *words])
