# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a testnet needs from whatever runs its nodes; `podman.py` is one, docker can be another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol

LABEL_TESTNET = "nodewise.testnet"  # name of the testnet
LABEL_HOME = "nodewise.home"  # folder with its state: two checkouts do not remove each other's testnets


class Taken(Exception):
    """The name or the address range of a network is in use."""


@dataclass(frozen=True)
class NodeSpec:
    """One node to create. `keys` is a folder that the node sees, read-only, as /etc/testnet."""

    name: str
    address: str
    network: str
    image: str
    keys: Path
    hosts: Mapping[str, str]  # name -> address of its peers
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Container:
    """A node as the provider sees it. `state` is the provider's own word: running, exited, created, ..."""

    name: str
    state: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """A network as the provider sees it, ours or not."""

    name: str
    subnets: Sequence[IPv4Network]
    labels: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """Creates and removes nodes and networks, and finds them again by their labels.

    Every method that changes something raises SetupError with the tool's own words when the tool fails. Removing what is not
    there is no error.
    """

    def check(self) -> None:
        """Raise MissingTool when something is not installed or not allowed; change nothing."""

    def networks(self) -> list[Network]:
        """All networks, also those of others: their address ranges are taken."""

    def create_network(self, name: str, subnet: IPv4Network, labels: Mapping[str, str]) -> None:
        """Create it, or raise Taken when the name or the range is in use. Atomic: of two at once, one is refused."""

    def remove_network(self, name: str) -> None:
        """Remove it, with its bridge and its rules in the firewall."""

    def nodes(self) -> list[Container]:
        """All nodes of all testnets, running or not."""

    def create_node(self, spec: NodeSpec) -> None:
        """Create and start it; safe to call for several nodes at once."""

    def remove_nodes(self, names: Sequence[str]) -> None:
        """End them at once, without grace."""

    def stop_nodes(self, names: Sequence[str], *, kill: bool) -> None:
        """Shut them down, or end them at once; one that does not run is no error."""

    def start_nodes(self, names: Sequence[str]) -> None:
        """Start them, with the disks and addresses that they had; one that runs is no error."""

    def settle(self, testnet: str) -> None:
        """Wait until commands that a killed `up` of this testnet left running have ended."""

    def store(self) -> Path:
        """The folder with the nodes' disks."""

    def journal_command(self, node: str, words: Sequence[str]) -> list[str]:
        """The words of a command that prints the journal of a node, on or off, as `journalctl` does with these words.

        UsageError for one that is off and is to be followed.
        """

    def exec_command(self, node: str, command: Sequence[str]) -> list[str]:
        """The words of a command that runs `command` as root on the node, past its SSH server."""

    def has_image(self, tag: str) -> bool:
        """Whether the image is on this machine."""

    def images(self) -> list[str]:
        """Tags of all node images."""

    def import_image(self, tar: Path, tag: str) -> None:
        """Make an image of the tar archive of a root file system; what is temporary stays in the archive's folder."""

    def build_image(self, base: str, context: Path, packages: Sequence[str], tag: str) -> None:
        """Make an image from one in a registry; raise SetupError when no registry gives it within seconds."""

    def remove_image(self, tag: str) -> None:
        """Remove it; SetupError while a node uses it."""
