"""The scenarios of etcd on PostgreSQL, on one testnet of each size, healed between them: what docs/simulation.md says of them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodewise.simulation import scenario
from nodewise.simulation.harness import Rehearsal, request
from nodewise.testnet import lifecycle
from nodewise.testnet.home import checkout
from nodewise.testnet.state import Testnet
from nodewise.views.live import View
from tests.system.cluster import SEED

pytestmark = pytest.mark.slow


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
            up.append(lifecycle.up(request(asked, f"pg{nodes}"), lambda _: None))
        return up[0]

    yield of
    for net in up:
        lifecycle.down(net.name)


@pytest.mark.parametrize(("nodes", "name"), [(nodes, name) for nodes in (3, 5) for name in applying(nodes)])
def test_a_scenario(nets: Callable[[int], Testnet], tmp_path: Path, nodes: int, name: str) -> None:
    """It is judged valid, with the fixed seed: no acknowledged write is lost, as replication is synchronous."""
    net = nets(nodes)
    rehearsal = Rehearsal(scenario.load(name).on(None, "postgresql", None), net.name, seed=SEED, base=tmp_path)
    with View([], io.StringIO(), tty=False) as nobody:
        summary: dict[str, Any] = rehearsal.perform(net, nobody)
    assert ("valid", "passed") == (summary["verdict"], summary["outcome"]), summary["checkers"]
