# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about making nodes: beside a bare `podman run` of the same image on the same network; and a cluster on them."""

from __future__ import annotations

from pathlib import Path

from nodewise.bench.command import program, timed
from nodewise.bench.figures import Row
from nodewise.errors import UsageError
from nodewise.testnet import image, keys, lifecycle, tools
from nodewise.testnet.home import state_folder
from nodewise.testnet.podman import CONF, Podman
from nodewise.testnet.provider import LABEL_TESTNET
from nodewise.testnet.request import Request

UP, DEMO = "benchup", "demo"
SCRIPT = Path(__file__).with_name("floor_nodes.sh")


class Nodes:
    """`testnet up --nodes N`, until each node was reached."""

    def __init__(self, count: int, folder: Path) -> None:
        self.count = count
        self.row = Row(f"nodes-{count}", f"{count} nodes, until they are reached over SSH", "s", "ratio", 2)
        self.rows = [self.row]
        self._folder = folder
        self._floors = f"benchfloor{count}"  # benches of several counts stand side by side
        self._provider = Podman()

    def prepare(self) -> None:
        """A testnet gives the floor its network and its keys; its nodes are made anew by the floor."""
        lifecycle.down(self._floors)
        self._net = lifecycle.up(Request(self._floors, self.count))
        self._remove()

    def round(self, number: int) -> None:
        """One sample of each; every other round begins with the other one."""
        contenders = [self._floor, self._nodewise]
        for contender in contenders if number % 2 else reversed(contenders):
            contender()

    def clean(self) -> None:
        """Remove the nodes of both."""
        for name in (UP, self._floors):
            lifecycle.down(name)

    def _remove(self) -> None:
        """The floor's nodes alone: its network and keys stay."""
        self._provider.remove_nodes([node.name for node in self._net.nodes])

    def _floor(self) -> None:
        shared = keys.node_folder(self._net, self._net.nodes[0]).parent
        words = [image.tag(), f"nodewise-{self._floors}", f"{LABEL_TESTNET}={self._floors}", str(shared)]
        words += [f"{node.name}={node.address}" for node in self._net.nodes]
        command = tools.as_root(["bash", str(SCRIPT), *words], {"CONTAINERS_CONF": str(CONF)})
        self.row.floor.append(timed(command, self._folder / "floor-nodes.log"))
        self._remove()

    def _nodewise(self) -> None:
        words = ["up", "--nodes", str(self.count), "--name", UP]
        self.row.nodewise.append(timed([program("testnet"), *words], self._folder / "nodewise-nodes.log"))
        lifecycle.down(UP)


class Cluster:
    """`testnet up --system etcd`, until the cluster is healthy."""

    def __init__(self, count: int, version: str, folder: Path) -> None:
        self.row = Row(f"cluster-{count}", f"a healthy etcd {version} on {count} nodes, from nothing", "s", "value", 15)
        self.rows = [self.row]
        self._words = ["up", "--nodes", str(count), "--system", "etcd", "--version", version, "--name", UP]
        self._folder = folder

    def prepare(self) -> None:
        """Nothing may be left of an earlier one."""
        lifecycle.down(UP)

    def round(self, number: int) -> None:  # noqa: ARG002  (there is one contender)
        """One sample."""
        self.row.nodewise.append(timed([program("testnet"), *self._words], self._folder / "nodewise-cluster.log"))
        lifecycle.down(UP)

    def clean(self) -> None:
        """Remove it."""
        lifecycle.down(UP)


class Demo:
    """`make demo`, the second time."""

    def __init__(self, folder: Path) -> None:
        self.row = Row("demo", "make demo, the second time", "s", "value", 60)
        self.rows = [self.row]
        self._folder = folder
        self._ours = False

    def prepare(self) -> None:
        """The first time. UsageError when somebody keeps a demo: it is not ours to remove."""
        if state_folder(DEMO).exists():
            raise UsageError(
                f"a testnet named {DEMO} exists, and make demo needs the name; remove it with: testnet down --name {DEMO}"
            )
        self._ours = True
        self._make()

    def round(self, number: int) -> None:  # noqa: ARG002  (there is one contender)
        """One sample."""
        self.row.nodewise.append(self._make())

    def clean(self) -> None:
        """It removes its testnet itself, unless it was ended."""
        if self._ours:
            lifecycle.down(DEMO)

    def _make(self) -> float:
        return timed(["make", "demo"], self._folder / "demo.log")
