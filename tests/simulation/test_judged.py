"""What is asked for by name of a history, on a real cluster under a fault: fingerprints, logs, and one order of all operations."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nodewise.simulation.harness import Rehearsal
from nodewise.simulation.scenario import Scenario
from nodewise.simulation.workloads.registry import workload_named
from nodewise.testnet import lifecycle
from nodewise.testnet.request import Request
from nodewise.testnet.state import Testnet
from nodewise.views.live import View

pytestmark = pytest.mark.slow
SEED = 4711
ASLEEP = {"id": "asleep", "kind": "pause", "target": "leader", "at": 1, "for": 4}


@pytest.fixture(scope="module")
def net(testnet_home: Path) -> Iterator[Testnet]:  # noqa: ARG001 (its name is for a testnet in that home)
    """Three members."""
    name = f"t{secrets.token_hex(3)}"
    yield lifecycle.up(Request(name, 3, system="etcd", version="3.5.16"), lambda _: None)
    lifecycle.down(name)


def test_a_leader_that_slept(net: Testnet, tmp_path: Path) -> None:
    """Every checker of the workload, `converged` and `no_panic` are sure."""
    asked = {"name": "register", "warmup": 3, "clients": 6, "keys": 6, "rate": 200}
    fields = {"name": "judged", "cluster": {"system": "etcd", "version": "3.5.16"}, "workload": asked, "faults": [ASLEEP]}
    safety = [*workload_named("register").checkers, "converged", "no_panic"]
    rehearsal = Rehearsal(msgspec.convert({**fields, "safety": safety}, Scenario), net.name, seed=SEED, base=tmp_path)
    with View([], io.StringIO(), tty=False) as nobody:
        summary = rehearsal.perform(net, nobody)
    verdicts = {one["checker"]: one["verdict"] for one in summary["checkers"]}
    assert {"valid"} == {*verdicts.values()}
    assert {*safety} <= {*verdicts}
