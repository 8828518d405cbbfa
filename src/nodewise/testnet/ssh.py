# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH to nodes: pinned host keys, one shared connection a node, nothing of the user's own configuration."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from nodewise.errors import SetupError
from nodewise.testnet import tools
from nodewise.testnet.home import state_folder

USER = "nodewise"  # who logs in on a node: unprivileged, with sudo, as on a production host

# A socket's path ends at 108 bytes: "/", an address, and the 17 that ssh appends while it makes one, leave this for the folder.
LONGEST_CONTROL_DIR = 108 - 1 - 15 - 17 - 1


class Reachable(Protocol):
    """What has to be known of a testnet to reach its nodes."""

    @property
    def name(self) -> str:
        """The testnet's name."""

    @property
    def key(self) -> Path:
        """The private key that opens its nodes."""

    @property
    def known_hosts(self) -> Path:
        """The host keys of its nodes."""


class Host(Protocol):
    """What has to be known of a node to reach it."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def address(self) -> str:
        """Its address."""


def control_dir(name: str) -> Path:
    """Where the sockets of shared connections are: with the state, or in a short private folder when that path is too long."""
    wanted = state_folder(name) / "ssh"
    if len(os.fsencode(wanted)) <= LONGEST_CONTROL_DIR:
        return wanted
    return Path(tempfile.gettempdir(), f"nodewise-{os.getuid()}-{hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]}")


def make_control_dir(name: str) -> None:
    """Make the folder for sockets, ours alone."""
    path = control_dir(name)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_uid != os.getuid():
        raise SetupError(f"{path} belongs to somebody else; remove it, or choose a shorter NODEWISE_HOME")


def options(testnet: Reachable) -> list[str]:
    """The options for ssh, besides user and key."""
    values = {
        "UserKnownHostsFile": f'"{testnet.known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "ControlMaster": "auto",
        "ControlPersist": "60",
        "ControlPath": f'"{control_dir(testnet.name)}/%h"',
        "ConnectTimeout": "10",
        "ServerAliveInterval": "10",
        "LogLevel": "ERROR",
    }
    return ["-F", "none", *(word for key, value in values.items() for word in ("-o", f"{key}={value}"))]


def command(testnet: Reachable, node: Host, words: Sequence[str] = ()) -> list[str]:
    """The words of an ssh command. One word is a line for the node's shell; several reach the program as they are; none logs in."""
    line = [shlex.join(words)] if len(words) > 1 else list(words)
    return ["ssh", *options(testnet), "-i", str(testnet.key), f"{USER}@{node.address}", *line]


def run(testnet: Reachable, node: Host, line: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a line in the node's shell; subprocess.TimeoutExpired at the timeout. Exit code 255 means that ssh itself failed."""
    words = command(testnet, node, [line])
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)


def wait_reachable(testnet: Reachable, node: Host, deadline: float, stop: threading.Event) -> None:
    """Return when a command ran on the node over SSH; SetupError at the deadline (monotonic), or when `stop` is set."""
    said = "no SSH banner"
    while time.monotonic() < deadline and not stop.is_set():
        if _banner(node.address):
            done = run(testnet, node, "true")
            if done.returncode == 0:
                return
            said = done.stderr.strip() or f"exit code {done.returncode}"
        stop.wait(0.02)
    raise SetupError(f"{node.name} ({node.address}) was not reachable over SSH: {said}")


def _banner(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def close(name: str, addresses: Sequence[str] = ("",)) -> None:
    """End the shared connections of a testnet, all or to some nodes, by the titles of their processes: sockets may be gone."""
    titles = tuple(f"ssh: {control_dir(name)}/{address}{' ' if address else ''}" for address in addresses)
    for pid, words in tools.processes():
        if words[0].startswith(titles):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)
