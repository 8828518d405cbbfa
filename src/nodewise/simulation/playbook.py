# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following a playbook: ansible-runner starts it, its output goes to a log, and the caller looks at the journal meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ansible_runner

from nodewise.errors import SetupError
from nodewise.testnet import roles, tools
from nodewise.testnet.home import checkout

TICK = 0.1  # seconds between looks


def follow(
    playbook: str, *, run_dir: Path, variables: Mapping[str, Any], environment: Mapping[str, str], tick: Callable[[], None]
) -> int:
    """Run a playbook of this checkout to its end and return ansible-playbook's exit code; `tick` is called meanwhile.

    The whole output is kept in `<run_dir>/ansible.log`. Ctrl-C, and what `tick` raises, ends the playbook before it reaches the
    caller.
    """
    private, cancelled = run_dir / ".runner", threading.Event()
    private.mkdir(exist_ok=True)
    thread, runner = ansible_runner.run_async(
        private_data_dir=str(private),
        project_dir=str(checkout()),
        playbook=playbook,
        extravars=dict(variables),
        envvars=_environment(run_dir, environment),
        quiet=True,
        settings={"suppress_env_files": True},
        cancel_callback=cancelled.is_set,
    )
    try:
        while thread.is_alive():
            tick()
            cancelled.wait(TICK)  # not thread.join: interrupted in it, Python before 3.13 takes the thread for ended
    except BaseException:  # Ctrl-C, or a tick that says that it is enough
        cancelled.set()
        thread.join()
        raise
    finally:
        end_workers(run_dir)
        _keep_log(runner, run_dir)
        shutil.rmtree(private, ignore_errors=True)
    if runner.rc is None:
        raise SetupError(f"ansible-playbook did not start ({runner.status}); look into {run_dir}/ansible.log")
    return int(runner.rc)


def end_workers(run_dir: Path) -> None:
    """End what a killed ansible-playbook left of a run: each of its workers is in a session of its own, and outlives it."""
    mark = f"NODEWISE_RUN_DIR={run_dir}".encode()
    for pid, words in tools.processes():
        if any(word.endswith("ansible-playbook") for word in words[:2]):
            with suppress(OSError):  # it ended meanwhile, or is somebody else's
                if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)


def _environment(run_dir: Path, more: Mapping[str, str]) -> dict[str, str]:
    ours = {
        "ANSIBLE_CONFIG": str(checkout() / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "NODEWISE_RUN_DIR": str(run_dir),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    return {**roles.environment(), **ours, **more}


def _keep_log(runner: Any, run_dir: Path) -> None:
    """Append what ansible-playbook printed; the events of ansible-runner hold variables, so they are not kept."""
    source = Path(runner.config.artifact_dir) / "stdout"
    if source.exists():
        with (run_dir / "ansible.log").open("a") as log:
            log.write(source.read_text(errors="replace"))
