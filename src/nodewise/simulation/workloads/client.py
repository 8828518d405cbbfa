# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a system offers to workloads: a client to one of its nodes. `Noop` stands beside the protocol and does nothing.

A client is used by one thread at a time and talks to the one node that it was made for; trying others is the load's job.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from nodewise.model import Operation


class Credentials(NamedTuple):
    """Files by which a client knows the cluster, and is known to it: PEM, and a password where a system asks for one."""

    ca: str
    cert: str
    key: str
    password: str


class Client(Protocol):
    """A connection to one node.

    `open` connects and changes nothing in the system (no table is made, no key touched); it raises `OSError` when the node cannot
    be reached. `invoke` returns the operation completed, and does not raise for what a system may answer:

    - `ok`: acknowledged; a read's `value` is set
    - `fail`: it did not happen and never will; `refused` where that is the system's answer, which no other attempt would change
    - `info`: it may have happened, or may still happen later

    Whoever is in doubt says `info`: a `fail` that happened after all is reported as a phantom, an `info` never misleads.
    """

    def open(self) -> None:
        """Connect."""

    def invoke(self, operation: Operation) -> Operation:
        """Perform it; the same operation comes back, completed."""

    def close(self) -> None:
        """Let go of the connection; safe to call twice, and before `open`."""


@runtime_checkable
class Scans(Protocol):
    """A client that can read everything under a prefix as one snapshot, at least as new as every acknowledged write."""

    def scan(self, prefix: str) -> Mapping[str, str | list[str]]:
        """All keys with their values, a list where one key is there several times; raises `OSError` when not all could be read."""


@runtime_checkable
class Leads(Protocol):
    """A client that can tell whether the member of its node leads: a fault may be about the leader."""

    def open(self) -> None:
        """Connect."""

    def leads(self) -> bool:
        """Whether it does, as the member says itself; raises `OSError` when it does not answer."""

    def close(self) -> None:
        """Let go of the connection."""


@runtime_checkable
class HandsOver(Protocol):
    """A client of the leader that can have another member lead."""

    def open(self) -> None:
        """Connect."""

    def hand_over(self, to: Client) -> None:
        """Ask for it; `to` is a client of that member, not open yet. Raises `OSError` when it was refused."""

    def close(self) -> None:
        """Let go of the connection."""


ClientFactory = Callable[[str], Client]  # from a node's name to an unopened client
Operations = Generator[Operation, Operation | None, None]  # of one client, endless; each `yield` gives back what came of it


class Noop:
    """A client of nothing: every write is acknowledged and forgotten."""

    def open(self) -> None:
        """Connect to nothing."""

    def invoke(self, operation: Operation) -> Operation:
        """Acknowledge."""
        return msgspec.structs.replace(operation, type="ok")

    def close(self) -> None:
        """Nothing to close."""

    def scan(self, prefix: str) -> Mapping[str, str]:  # noqa: ARG002 the protocol's name
        """Nothing is there."""
        return {}
