# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running one script to its end, whatever it does: nothing that it began is left when this returns.

Whoever runs a script adopts its orphans (PR_SET_CHILD_SUBREAPER), so that a process that made a session of its own, or whose
parents ended, is still found and ended. A group or a session alone would lose those.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any, Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import adopt_orphans, children, descendants, named
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.output import Output
from ansible_collections.nodewise.cluster.plugins.module_utils.smoke.secrets import Secrets

F_SETPIPE_SZ = 1031
GRACE = 2.0  # seconds from SIGTERM to SIGKILL
TICK = 0.05  # seconds between looks at a script whose output is still open
LAST = 5.0  # seconds that what was killed may take to be gone
CHUNK = 1 << 18
TRANSIENT = ("/run/systemd/transient/*.service", "/run/user/*/systemd/transient/*.service")


class Cancelled(BaseException):
    """The run was called off."""


def run_script(job: dict[str, Any], secrets: Secrets) -> dict[str, Any]:
    """Run one script; return how it ended. To be called in a process of its own, which adopts what the script leaves behind.

    `job`: name, path, folder, environment, timeout (seconds), cap (bytes of each stream that are kept).
    """
    adopt_orphans()
    answer: dict[str, Any] = {"script": job["name"], "code": None, "signal": None, "timeout": False, "error": "", "left": []}
    streams = {"stdout": Output(job["cap"], secrets), "stderr": Output(job["cap"], secrets)}
    began, running = time.monotonic(), transient()
    try:
        process = start(job)
    except OSError as error:
        answer["error"] = why_not(job["path"], error)
    else:
        answer.update(follow(process, streams, began + job["timeout"]))
    answer["seconds"] = round(time.monotonic() - began, 3)
    for name, stream in streams.items():
        answer[name], answer[name + "_cut"] = stream.text(), stream.cut
    answer["units"] = sorted(transient() - running)
    for name in ("left", "alive", "units"):  # of processes and units, whose names are their own
        answer[name] = [secrets.text(title) for title in answer.get(name, [])]
    return answer


def transient() -> set[str]:
    """Return the names of units that somebody began without a file of their own, as systemd-run does, and that are there."""
    return {os.path.basename(path) for place in TRANSIENT for path in glob.glob(place)}


def start(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, with nothing to read."""
    return subprocess.Popen(
        [job["path"]],
        cwd=job["folder"],
        env=job["environment"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


def why_not(path: str, error: OSError) -> str:
    """Say why a script could not be started, and what to do."""
    interpreter = interpreter_of(path)
    if error.errno == errno.ENOENT and interpreter:
        return f"its interpreter {interpreter} is not on this host; install it, or fix its first line"
    if error.errno == errno.EACCES and interpreter and os.access(path, os.X_OK):
        return f"its interpreter {interpreter} may not be run, or its file system does not allow programs (noexec)"
    if error.errno == errno.ENOEXEC:
        return "it is neither a program of this machine nor does it begin with #!; give it a first line such as #!/bin/sh"
    return f"it could not be started: {error.strerror}"


def interpreter_of(path: str) -> str:
    """Return what the first line of a script names; empty when it names nothing."""
    with suppress(OSError), open(path, "rb") as stream:
        line = stream.readline(4096)
        if line.startswith(b"#!"):
            shown = line[2:].decode("utf-8", "replace").rstrip("\n")
            return shown.strip() + (r" (the line ends in \r)" if shown.endswith("\r") else "")
    return ""


def follow(process: subprocess.Popen[bytes], streams: dict[str, Output], deadline: float) -> dict[str, Any]:
    """Read until the script has ended or its time is over; then end all that is left of it."""
    pipes = Pipes({process.stdout: streams["stdout"], process.stderr: streams["stderr"]})
    told: dict[str, Any] = {}
    try:
        if not pipes.until(lambda: process.poll() is not None, deadline):
            told = {"timeout": True, "ended_by": "SIGTERM"}
            kill(signal.SIGTERM)
            if not pipes.until(lambda: process.poll() is not None and not descendants(), time.monotonic() + GRACE):
                told["ended_by"] = "SIGKILL"
    finally:
        left, alive = clear({process.pid})
    if not alive:
        process.wait()
    pipes.until(lambda: not pipes.open, time.monotonic() + TICK)  # what was in the pipes; all writers are gone
    pipes.close()
    code = process.poll()
    told["left"] = [] if told else left
    told["alive"] = alive
    return dict(
        told, code=code if code is not None and code >= 0 else None, signal=-code if code is not None and code < 0 else None
    )


class Pipes:
    """Both streams of a script, read as they come."""

    def __init__(self, streams: dict[Any, Output]) -> None:
        self.open = streams
        for stream in streams:
            with suppress(OSError):  # larger pipes: fewer turns for a script that prints much
                fcntl.fcntl(stream, F_SETPIPE_SZ, 1 << 20)

    def until(self, reached: Callable[[], bool], deadline: float) -> bool:
        """Read until something is reached (True), or the deadline (False)."""
        pause = 0.001
        while not reached():
            rest = deadline - time.monotonic()
            if rest <= 0:
                return False
            if not self.open:  # nothing to be woken by: the script closed its output, as one that ends does
                time.sleep(min(pause, rest))
                pause = min(pause * 2, TICK)
                continue
            for stream in select.select(list(self.open), [], [], min(TICK, rest))[0]:
                data = os.read(stream.fileno(), CHUNK)
                if data:
                    self.open[stream].add(data)
                else:
                    self.open.pop(stream)
                    stream.close()
        return True

    def close(self) -> None:
        """Let go of what is still open."""
        for stream in self.open:
            stream.close()


def clear(script: set[int]) -> tuple[list[str], list[str]]:
    """End every descendant; return the names of those that outlived the script, and of those that could not be ended."""
    left = [name for pid, name in named(descendants()) if pid not in script]
    deadline = time.monotonic() + LAST
    while kill(signal.SIGSTOP) and time.monotonic() < deadline:  # stopped first: what is stopped begins no other
        kill(signal.SIGKILL)
        reap(script)
        time.sleep(0.002)
    return left, [name for _pid, name in named(descendants())]


def kill(number: int) -> int:
    """Send a signal to every descendant that is alive; return to how many."""
    sent = 0
    for pid in descendants():
        with suppress(OSError):
            os.kill(pid, number)
            sent += 1
    return sent


def reap(besides: set[int]) -> None:
    """Take note of adopted children that have ended. The script itself is its starter's to wait for."""
    for pid in children(os.getpid()):
        if pid not in besides:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
