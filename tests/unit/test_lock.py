"""One upgrade of a cluster at a time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from nodewise import lock
from nodewise.errors import Refused


def test_a_living_holder_is_named(tmp_path: Path) -> None:
    """While its process lives, a run holds the lock and is named to others."""
    with subprocess.Popen(["sleep", "60"]) as other:
        lock.hold(tmp_path / "lock", other.pid, "first")
        with pytest.raises(Refused, match=f"run first .*process {other.pid}"):
            lock.hold(tmp_path / "lock", os.getpid(), "second")
        other.kill()


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    """A process that is gone, a number that another process has now, and a torn file leave the lock free."""
    with subprocess.Popen(["true"]) as other:
        lock.hold(tmp_path / "lock", other.pid, "first")
    lock.hold(tmp_path / "lock", os.getpid(), "second")
    (tmp_path / "lock").write_text(f'{{"pid": {os.getppid()}, "began": "1", "run": "old"}}')
    lock.hold(tmp_path / "lock", os.getpid(), "third")
    (tmp_path / "lock").write_text('{"pid": 1')
    lock.hold(tmp_path / "lock", os.getpid(), "fourth")


def test_the_same_run_may_hold_it_again(tmp_path: Path) -> None:
    """Holding is idempotent for one process."""
    lock.hold(tmp_path / "lock", os.getpid(), "first")
    lock.hold(tmp_path / "lock", os.getpid(), "first")
