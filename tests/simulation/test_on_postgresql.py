"""The scenarios of etcd on PostgreSQL, on one testnet of each size, healed between them: what docs/simulation.md says of them."""

from __future__ import annotations

import io
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.simulation import scenario
from nodewise.simulation.harness import Rehearsal, request
from nodewise.testnet import lifecycle
from nodewise.testnet.home import checkout
from nodewise.testnet.podman import Podman
from nodewise.testnet.state import Testnet
from nodewise.views.live import View
from tests.system.cluster import SEED, until

pytestmark = pytest.mark.slow
CONFIG = "/opt/nodewise/patroni/patronictl edit-config --force -s {}={} 2>&1"
STANDBYS = "cd /; runuser -u postgres -- psql -XAtqc 'show synchronous_standby_names'"


def applying(nodes: int) -> list[str]:
    """The scenarios that the table of the documentation calls valid on PostgreSQL, with so many nodes."""
    text = (checkout() / "docs/simulation.md").read_text()
    names = re.findall(r"^\| `([\w-]+)` \|[^|]*\| valid", text, re.MULTILINE)
    every = [name for name in names if scenario.load(name).cluster.system != "postgresql"]
    return [name for name in every if scenario.load(name).cluster.nodes == nodes]


@pytest.fixture(scope="module")
def nets(testnet_home: Path) -> Iterator[Callable[[int], Testnet]]:  # noqa: ARG001 (they are in that home)
    """A testnet of so many members; one is up at a time."""
    up: list[Testnet] = []

    def of(nodes: int) -> Testnet:
        if up and len(up[0].nodes) != nodes:
            lifecycle.down(up.pop().name)
        if not up:
            asked = scenario.load("leader-isolated").on(nodes, "postgresql", None)
            up.append(lifecycle.up(request(asked, f"t{secrets.token_hex(3)}"), lambda _: None))
        return up[0]

    yield of
    for net in up:
        lifecycle.down(net.name)


@pytest.mark.parametrize(("nodes", "name"), [(nodes, name) for nodes in (3, 5) for name in applying(nodes)])
def test_a_scenario(nets: Callable[[int], Testnet], tmp_path: Path, nodes: int, name: str) -> None:
    """It is judged valid, with the fixed seed: no acknowledged write is lost, as replication is synchronous."""
    asked = scenario.load(name).on(None, "postgresql", None)
    summary = perform(nets(nodes), asked, tmp_path)
    assert ("valid", "passed") == (summary["verdict"], summary["outcome"]), summary["checkers"]


def perform(net: Testnet, asked: scenario.Scenario, folder: Path) -> dict[str, Any]:
    """The summary of a scenario on a testnet that is up."""
    with View([], io.StringIO(), tty=False) as nobody:
        return Rehearsal(asked, net.name, seed=SEED, base=folder).perform(net, nobody)


def said(net: Testnet, line: str) -> list[str]:
    """What a line prints on each node."""
    words = [Podman().exec_command(node.name, ["sh", "-c", line]) for node in net.nodes]
    return [subprocess.run(one, capture_output=True, text=True, check=True).stdout.strip() for one in words]


def synchronous(net: Testnet, on: bool) -> None:
    """Have the primary wait for a standby, or not."""
    said(net, CONFIG.format("synchronous_mode", "on" if on else "off"))
    until(lambda: any(said(net, STANDBYS)) == on, 60)


@pytest.mark.parametrize("on", [False, True], ids=["asynchronous", "synchronous"])
def test_a_primary_that_is_cut_off(nets: Callable[[int], Testnet], tmp_path: Path, on: bool) -> None:
    """Acknowledged rows are lost in asynchronous mode, which is told as what that mode promises; in synchronous mode none is."""
    net = nets(3)
    synchronous(net, on)
    cut = {"id": "alone", "kind": "partition", "from": "leader", "at": 1, "for": 50}
    fields = {
        "name": "failover",
        "cluster": {"system": "postgresql", "variables": {"nodewise_synchronous": True} if on else {}},
        "workload": {"name": "set", "rate": 100},
        "faults": [cut],
        "progress": {"within": 120},
        "safety": ["durable", "traffic"],
    }
    summary = perform(net, msgspec.convert(fields, scenario.Scenario), tmp_path)
    synchronous(net, on=True)
    (durable,) = (one for one in summary["checkers"] if one["checker"] == "durable")
    assert (on, on) == (durable["verdict"] == "valid", not summary["workload"]["lost"]), summary["checkers"]
    assert on == ("without nodewise_synchronous: True a failover may lose what was acknowledged" not in durable["says"])


@pytest.mark.parametrize("on", [False, True], ids=["without_failsafe_mode", "failsafe_mode"])
def test_a_store_without_a_quorum(nets: Callable[[int], Testnet], tmp_path: Path, on: bool) -> None:
    """Patroni's primary stops taking writes, although PostgreSQL is well; with failsafe_mode it goes on. No write is lost."""
    net = nets(3)
    said(net, CONFIG.format("failsafe_mode", "true" if on else "false"))
    fields = {
        "name": "store",
        "cluster": {"system": "postgresql", "variables": {"nodewise_synchronous": True}},
        "workload": {"name": "set", "rate": 50},
        # Members look at the setting every ten seconds. Between the members of etcd alone nothing passes.
        "faults": [{"id": "store", "kind": "partition", "from": "all", "ports": [2380], "at": 15, "for": 45}],
        "max_down": 3,
        "progress": {"within": 120},
        "safety": ["durable", "traffic"],
    }
    summary = perform(net, msgspec.convert(fields, scenario.Scenario), tmp_path)
    said(net, CONFIG.format("failsafe_mode", "null"))
    assert ("valid", "passed") == (summary["verdict"], summary["outcome"]), summary["checkers"]
    assert on == (summary["workload"]["longest_stall_ms"] < 10_000), summary["workload"]
