# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which address range a testnet gets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

from nodewise.errors import UsageError

POOL = IPv4Network("10.213.0.0/16")
FIRST = 11  # of a node in its range: lower ones are for the gateway and for people


def parse(text: str, nodes: int) -> IPv4Network:
    """The range that the user named, with room for the nodes, or UsageError."""
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"--subnet {text}: {error}; expected a range such as 10.99.0.0/24") from None
    if not subnet.is_private or subnet.num_addresses < FIRST + nodes + 1:
        needed = FIRST + nodes + 1
        raise UsageError(f"--subnet {text}: {nodes} nodes need a private range of {needed} addresses or more, such as 10.99.0.0/24")
    return subnet


def addresses(subnet: IPv4Network, nodes: int) -> list[str]:
    """One address a node, in order."""
    return [str(subnet[FIRST + number]) for number in range(nodes)]


def free(taken: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """Ranges of the pool that overlap with none of those taken."""
    taken = list(taken)
    return (subnet for subnet in POOL.subnets(new_prefix=24) if not any(subnet.overlaps(other) for other in taken))


def routes(table: str | None = None) -> list[IPv4Network]:
    """Ranges that this machine has a route to, from /proc/net/route; the default route takes none."""
    lines = (table if table is not None else Path("/proc/net/route").read_text()).splitlines()[1:]
    fields = [line.split() for line in lines]
    return [IPv4Network((_address(f[1]), _address(f[7]))) for f in fields if f[7] != "00000000"]


def _address(word: str) -> str:
    """The kernel prints addresses as numbers in the machine's own byte order."""
    return socket.inet_ntoa(struct.pack("=I", int(word, 16)))
