"""Following a playbook: what is left of it when it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from nodewise.simulation.playbook import end_workers


def worker(folder: Path, run_dir: Path) -> subprocess.Popen[bytes]:
    """A process as ansible-playbook leaves it: of that name, in a session of its own, with the run's environment."""
    program = folder / "ansible-playbook"
    program.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, str(program)]
    running = subprocess.Popen(command, env={"NODEWISE_RUN_DIR": str(run_dir)}, start_new_session=True, stdout=subprocess.PIPE)
    assert running.stdout
    assert b"up\n" == running.stdout.readline()
    return running


def test_workers_of_this_run_are_ended(tmp_path: Path) -> None:
    """Those of another run, which is at work at the same time, are left alone."""
    ours, another = worker(tmp_path, tmp_path / "runs/a"), worker(tmp_path, tmp_path / "runs/ab")
    try:
        end_workers(tmp_path / "runs/a")
        assert -signal.SIGKILL == ours.wait(5)
        assert another.poll() is None
    finally:
        for process in (ours, another):
            process.kill()
            process.communicate()
