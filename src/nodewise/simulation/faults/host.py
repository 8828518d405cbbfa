# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that faults are done to, and what must be known of the cluster on it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nodewise.errors import NodewiseError

SSH_PORT = 22
WAIT = 0.5  # seconds for a banner


class NotProved(NodewiseError):
    """A fault was not seen to take effect, or to be healed: unknown, and so no coverage."""

    exit_code = 3


class HostError(OSError):
    """A script did not get to its end on a host; the text is what it said last."""


class Host(Protocol):
    """A node, reached as root. `run` returns what a shell script printed, and raises HostError when it failed."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def address(self) -> str:
        """Its address in the cluster's network."""

    def run(self, script: str, timeout: float = 20) -> str:
        """Run a script."""


@dataclass(frozen=True)
class Scene:
    """What faults act on. `order` is the draw that a target such as `one` is taken from, by names of hosts."""

    hosts: Mapping[str, Host]
    order: Sequence[str]
    unit: str  # of systemd: the service under test
    leader: Callable[[], str]  # the name of the host that leads now; raises NotProved where nobody does
    data: str = ""  # the folder of its data, on each host
    expired: Callable[[str], Mapping[str, str]] = lambda _host: {}  # paths there, and a certificate and key that have expired
    client: Callable[[str], Any] | None = None  # an unopened client of a member, by its host, where there is a cluster
    power: Callable[[Sequence[str], bool], None] | None = None  # switches hosts on or off, where somebody can
    kernel_time: bool = False  # the service asks the kernel for the time, not the C library

    def host(self, address: str) -> str:
        """The name of the host with this address."""
        return next(name for name, host in self.hosts.items() if host.address == address)


def banner(address: str) -> bool:
    """Whether an SSH server speaks there."""
    try:
        with socket.create_connection((address, SSH_PORT), timeout=WAIT) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
