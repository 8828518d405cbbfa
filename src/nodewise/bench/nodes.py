# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows about making nodes: beside a bare `podman run` of the same image on the same network; and a cluster on them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from nodewise.bench.command import program, timed
from nodewise.bench.figures import Row
from nodewise.errors import UsageError
from nodewise.testnet import image, keys, lifecycle, ssh, tools
from nodewise.testnet.home import state_folder
from nodewise.testnet.podman import CONF, Podman
from nodewise.testnet.provider import LABEL_TESTNET
from nodewise.testnet.request import Request

UP, DEMO = "benchup", "demo"
HERE = Path(__file__).parent
PACK = "cd / && sudo tar --create opt/nodewise/etcd/current opt/nodewise/etcd/releases etc/systemd/system/etcd.service"
LIMIT_S = 120  # for the archive


class FloorNodes:
    """Nodes by a bare `podman run` on a network and with keys that are there, made anew for each sample."""

    def __init__(self, name: str, count: int, folder: Path) -> None:
        self._request, self._folder = Request(name, count), folder
        self._provider = Podman()

    def prepare(self, keep: Path | None = None, version: str = "") -> None:
        """A testnet gives the floor its network and its keys; with `keep`, the release and the unit of its etcd are kept there."""
        self.clean()
        asked = Request(self._request.name, self._request.nodes, system="etcd", version=version) if keep else self._request
        self.net = lifecycle.up(asked)
        if keep:
            with keep.open("wb") as archive:
                words = ssh.command(self.net, self.net.nodes[0], [PACK])
                subprocess.run(words, stdin=subprocess.DEVNULL, stdout=archive, check=True, timeout=LIMIT_S)
        self.remove()

    @property
    def words(self) -> list[str]:
        """NAME=ADDRESS of each."""
        return [f"{node.name}={node.address}" for node in self.net.nodes]

    def make(self) -> float:
        """The seconds until the SSH server of each answers."""
        shared = keys.node_folder(self.net, self.net.nodes[0]).parent
        words = [image.tag(), f"nodewise-{self.net.name}", f"{LABEL_TESTNET}={self.net.name}", str(shared), *self.words]
        command = tools.as_root(["bash", str(HERE / "floor_nodes.sh"), *words], {"CONTAINERS_CONF": str(CONF)})
        return timed(command, self._folder / "floor-nodes.log")

    def remove(self) -> None:
        """The nodes alone: their network and keys stay. What leads to them is closed, as the next ones have their addresses."""
        self._provider.remove_nodes([node.name for node in self.net.nodes])
        ssh.close(self.net.name)

    def clean(self) -> None:
        """Remove all of it."""
        lifecycle.down(self._request.name)


class Nodes:
    """`testnet up --nodes N`, until each node was reached."""

    def __init__(self, count: int, folder: Path) -> None:
        self.row = Row(f"nodes-{count}", f"{count} nodes, until they are reached over SSH", "s", "ratio", 2)
        self.rows = [self.row]
        self._words = ["up", "--nodes", str(count), "--name", UP]
        self._folder = folder
        self._floor = FloorNodes(f"benchfloor{count}", count, folder)  # benches of several counts stand side by side

    def prepare(self) -> None:
        """What the floor needs."""
        self._floor.prepare()

    def round(self, number: int) -> None:
        """One sample of each; every other round begins with the other one."""
        contenders = [self._bare, self._nodewise]
        for contender in contenders if number % 2 else reversed(contenders):
            contender()

    def clean(self) -> None:
        """Remove the nodes of both."""
        lifecycle.down(UP)
        self._floor.clean()

    def _bare(self) -> None:
        self.row.floor.append(self._floor.make())
        self._floor.remove()

    def _nodewise(self) -> None:
        self.row.nodewise.append(timed([program("testnet"), *self._words], self._folder / "nodewise-nodes.log"))
        lifecycle.down(UP)


class Cluster:
    """`testnet up --system etcd`, until the cluster is healthy."""

    def __init__(self, count: int, version: str, folder: Path) -> None:
        self.row = Row(f"cluster-{count}", f"a healthy etcd {version} on {count} nodes, from nothing", "s", "ratio", 1.5)
        self.rows = [self.row]
        self._words = ["up", "--nodes", str(count), "--system", "etcd", "--version", version, "--name", UP]
        self._folder, self._version = folder, version
        self._floor = FloorNodes("benchflooretcd", count, folder)

    def prepare(self) -> None:
        """Nothing may be left of an earlier one; the release that the floor installs is on the controller, as ours is."""
        lifecycle.down(UP)
        self._archive = self._folder / "etcd.tar"
        self._floor.prepare(self._archive, self._version)

    def round(self, number: int) -> None:
        """One sample of each; every other round begins with the other one."""
        contenders = [self._bare, self._nodewise]
        for contender in contenders if number % 2 else reversed(contenders):
            contender()

    def clean(self) -> None:
        """Remove the clusters of both, and the archive."""
        lifecycle.down(UP)
        self._floor.clean()
        (self._folder / "etcd.tar").unlink(missing_ok=True)

    def _bare(self) -> None:
        took, net = self._floor.make(), self._floor.net
        with tempfile.TemporaryDirectory() as folder:
            to_nodes = ssh.command(net, net.nodes[0])[:-1]  # without the node: the script names it
            words = ["bash", str(HERE / "floor_cluster.sh"), str(self._archive), folder, " ".join(self._floor.words), *to_nodes]
            took += timed(words, self._folder / "floor-cluster.log")
        self.row.floor.append(took)
        self._floor.remove()

    def _nodewise(self) -> None:
        self.row.nodewise.append(timed([program("testnet"), *self._words], self._folder / "nodewise-cluster.log"))
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
