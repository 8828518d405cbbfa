# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rebooting a node, after a command that patches it."""

from __future__ import annotations

import subprocess
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut
from ansible_collections.nodewise.cluster.plugins.module_utils.node.info import boot

LATER = "1"  # seconds, so that whoever asked has an answer before the connection is cut, and the step its end in state.json


class RebootError(Failure):
    """Why the node was not rebooted, in one line."""


def looked() -> dict[str, Any]:
    """Return which start of the node this is, and how far it came."""
    done = _run(["systemctl", "is-system-running"], 10)
    return {"changed": False, "boot": boot(), "system": done.stdout.strip() or "unknown"}


def reboot(before: str, command: str, deadline: float, dry: bool = False) -> dict[str, Any]:
    """Run the command and have the node reboot in a moment, unless it has rebooted since `before`."""
    seen = looked()
    if before and seen["boot"] != before:
        return seen
    if not dry:
        if command:
            _patch(command, deadline)
        done = _run(["systemd-run", f"--on-active={LATER}", "--timer-property=AccuracySec=100ms", "systemctl", "reboot"], 30)
        if done.returncode:
            raise RebootError(f"systemd does not reboot the node: {done.stderr.strip()}")
    return {**seen, "changed": True}


def _patch(command: str, deadline: float) -> None:
    try:
        done = _run(["sh", "-c", command], deadline)
    except subprocess.TimeoutExpired:
        raise RebootError(f"the patch command did not end within {deadline:.0f} s. The node was not rebooted") from None
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1:] or ["nothing"]
        raise RebootError(
            f"the patch command ended with {done.returncode} and said last: {cut(said[0], 300)}. The node was not rebooted"
        )


def _run(words: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    variables = {**environment(), "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    return subprocess.run(
        words,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
