"""`testnet bench` on real nodes: it prints what it measured, and leaves nothing. Nothing here is judged by the clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nodewise.bench import figures
from nodewise.bench.figures import Row
from nodewise.testnet import state
from nodewise.testnet.podman import Podman

COMMAND = [str(Path(sys.executable).with_name("testnet")), "bench"]
OURS = ("benchup", "benchfloor", "benchsmoke", "benchroll")


def left() -> list[str]:
    """What is there of the benchmark's testnets: nodes, networks, state."""
    provider = Podman()
    there = [node.name for node in provider.nodes()] + [network.name.removeprefix("nodewise-") for network in provider.networks()]
    return [name for name in [*there, *state.names()] if name.startswith(OURS)]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["nodes", "roll"])
@pytest.mark.parametrize("seconds", [2, 12])
def test_an_interrupt_leaves_nothing(what: str, seconds: int, tmp_path: Path) -> None:
    """Ctrl-C while it prepares or measures: exit code 130, no node, network or folder."""
    home = {**os.environ, "NODEWISE_HOME": str(tmp_path)}
    with subprocess.Popen(
        [*COMMAND, "--only", what, "--rounds", "9"], cwd=tmp_path, env=home, stderr=subprocess.PIPE, text=True
    ) as command:
        time.sleep(seconds)
        command.send_signal(signal.SIGINT)
        assert "interrupted" in command.communicate(timeout=120)[1]
    assert [130, []] == [command.returncode, left()]


def test_nodes_are_measured(tmp_path: Path, shown: Callable[[Row], None]) -> None:
    """Both contenders end with nodes that answer, and are printed; what was measured is kept where --save says, too."""
    words = [*COMMAND, "--only", "nodes", "--rounds", "1", "--save", "kept/bench.json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert 0 == done.returncode, done.stderr
    assert "nodes-5" in done.stdout
    (record,) = (tmp_path / "runs").iterdir()
    assert figures.load(record) == figures.load(tmp_path / "kept/bench.json")
    shown(figures.load(record).rows[0])
    assert [] == left()
