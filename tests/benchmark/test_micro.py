"""Every hot path can be measured. How long it took is shown beside its limit, and nobody judges it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nodewise.bench.figures import Row
from nodewise.bench.micro import Micro, measure
from nodewise.testnet.state import checkout


@pytest.mark.parametrize("row", Micro(checkout()).rows, ids=lambda row: row.name)
def test_a_hot_path_is_measured(row: Row, shown: Callable[[Row], None]) -> None:
    """It has a figure, of its own code."""
    measure(checkout(), row)
    shown(row)
    assert row.figure is not None
    assert row.figure > 0


def test_an_interrupt_removes_the_earlier_code(tmp_path: Path) -> None:
    """Ctrl-C while both codes take turns: exit code 130, and no copy of the checkout stays in the run's folder."""
    words = [str(Path(sys.executable).with_name("testnet")), "bench", "--row", "plan-1000", "--against-commit", "HEAD"]
    env = {**os.environ, "NODEWISE_HOME": str(tmp_path)}
    with subprocess.Popen(words, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as command:
        until = time.monotonic() + 60
        while not list(tmp_path.glob("runs/*/earlier/src")) and time.monotonic() < until:
            time.sleep(0.1)
        command.send_signal(signal.SIGINT)
        assert "interrupted" in command.communicate(timeout=60)[1]
    assert [130, []] == [command.returncode, list(tmp_path.glob("runs/*/*"))]
