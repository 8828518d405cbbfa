"""Smoke over SSH and sudo on real systemd nodes: a session that dies in the middle, and Ctrl-C; nothing is left on any node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nodewise.testnet import state
from nodewise.testnet.inventory import tree
from nodewise.testnet.podman import Podman
from tests.integration.test_smoke import GOOD, ROOT, Smoked

SECONDS = "86399"
HANGS = f"#!/bin/sh\n# smoke: timeout=25\ntrap '' HUP INT TERM\nsetsid sleep {SECONDS} &\nsleep {SECONDS}\n"


class Hanging(Smoked):
    """A suite that hangs, on the nodes of a testnet; they are reached by `podman exec` when SSH is not there."""

    def __init__(self, folder: Path, net: state.Testnet) -> None:
        super().__init__(folder)
        self.nodes = [node.name for node in net.nodes]
        groups = tree([net])
        groups[net.name]["vars"]["nodewise_system"] = "acme.demo.notes"
        (folder / "hosts.yml").write_text(json.dumps(groups))
        self.suite("s", {"a": HANGS, "b": GOOD})

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the playbook, and wait until the suite hangs on every node."""
        command, environment = self.command(playbook="smoke")
        nowhere = subprocess.DEVNULL
        running = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
        )
        until(lambda: all(self.on(node, f"pgrep -cfx 'sleep {SECONDS}'") == "2" for node in self.nodes), 60)
        return running

    def on(self, node: str, line: str) -> str:
        """Run a line on a node, past SSH."""
        words = Podman().exec_command(node, ["sh", "-c", line])
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    def left(self, node: str) -> str:
        """Processes and folders of ours on a node."""
        return self.on(node, f"pgrep -fx 'sleep {SECONDS}'; ls -d /var/tmp/nodewise-smoke-* 2>/dev/null")


@pytest.fixture
def hanging(tmp_path: Path, pair: state.Testnet) -> Hanging:
    """Two nodes."""
    return Hanging(tmp_path, pair)


def test_sshd_dies_in_the_middle(hanging: Hanging) -> None:
    """The node's scripts have not reported and leave nothing; the other node's results are whole."""
    running = hanging.begin()
    one, other = hanging.nodes
    try:
        hanging.on(other, "systemctl stop ssh; pkill -KILL sshd")
        until(lambda: not hanging.left(other), 15)
        running.wait(90)
    finally:
        hanging.on(other, "systemctl start ssh")
    results = hanging.results()
    assert "did not report: the host cannot be reached" in results[other, "b"]["reason"]
    assert [True, "pass"] == [results[one, "a"]["timeout"], results[one, "b"]["status"]]
    assert [4, 1, 3] == [hanging.summary()["smoke"][key] for key in ("expected", "passed", "failed")]
    assert "" == hanging.left(one)


@pytest.mark.slow
def test_ctrl_c(hanging: Hanging) -> None:
    """Both nodes are clean in seconds, long before the scripts' own timeout."""
    running = hanging.begin()
    os.killpg(running.pid, signal.SIGINT)
    running.wait(30)
    until(lambda: not any(map(hanging.left, hanging.nodes)), 10)


def until(reached: Callable[[], bool], seconds: float) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.3)
