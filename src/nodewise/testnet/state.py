# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller knows of its testnets: one folder each under `<home>/testnets/`, read without asking any provider."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from nodewise import files
from nodewise.errors import UsageError
from nodewise.testnet import ssh
from nodewise.testnet.home import home, state_folder

NAME = re.compile(r"^[a-z][a-z0-9]{0,14}$")
RESERVED = {"all", "ungrouped", "localhost"}  # words of Ansible's own


def check_name(name: str) -> str:
    """The name, or UsageError."""
    if not NAME.match(name) or name in RESERVED:
        raise UsageError(f"{name!r} is not a testnet name: 1 to 15 of a-z and 0-9, starting with a letter, such as: dev")
    return name


@dataclass(frozen=True)
class Node:
    """A node: its name (also of its container, its host and in inventories) and its address."""

    name: str
    address: str


@dataclass(frozen=True)
class Testnet:
    """A testnet of this home. `status` is `making` until every node was reached over SSH, then `up`."""

    name: str
    nodes: tuple[Node, ...]
    subnet: str
    system: str | None = None
    version: str | None = None
    status: Literal["making", "up"] = "making"
    created: float = 0.0  # seconds since the epoch
    variables: dict[str, Any] = field(default_factory=dict)  # for Ansible, besides our own
    domains: tuple[str, ...] = ()  # failure domains, dealt out to the nodes in their order

    @property
    def state(self) -> Path:
        """The folder with all that the controller keeps of it."""
        return state_folder(self.name)

    @property
    def key(self) -> Path:
        """The private key that opens all its nodes; key.pub is beside it."""
        return self.state / "key"

    @property
    def known_hosts(self) -> Path:
        """The host keys of its nodes, by address and by name."""
        return self.state / "known_hosts"

    @property
    def pki(self) -> Path:
        """For the certificate authority of the cluster on it; goes with the testnet."""
        return self.state / "pki"

    def node(self, name: str) -> Node:
        """The node by its full name (dev-n1) or the short one (n1)."""
        for node in self.nodes:
            if name in (node.name, node.name.removeprefix(f"{self.name}-")):
                return node
        raise UsageError(f"testnet {self.name} has no node {name!r}; it has {', '.join(node.name for node in self.nodes)}")

    def run(self, node: str, line: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a line in the node's shell over SSH; exit code 255 means that ssh itself failed."""
        return ssh.run(self, self.node(node), line, timeout)

    def save(self) -> None:
        """Write testnet.json, all or nothing."""
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(self.state / "testnet.json", json.dumps(asdict(self), indent=2) + "\n")


def find(name: str) -> Testnet | None:
    """The testnet, or None when there is no readable state: a file that a crash left is no testnet."""
    try:
        fields = json.loads((state_folder(name) / "testnet.json").read_text())
        listed = {"nodes": tuple(Node(**node) for node in fields["nodes"]), "domains": tuple(fields.get("domains") or ())}
        return Testnet(**{**fields, **listed})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def load(name: str) -> Testnet:
    """The testnet that is up, or UsageError with those that are."""
    testnet = find(check_name(name))
    if testnet is None or testnet.status != "up":
        there = ", ".join(other.name for other in ups()) or "none"
        raise UsageError(f"no testnet named {name} is up; up: {there}. Make it with: testnet up --nodes 3 --name {name}")
    return testnet


def names() -> list[str]:
    """Names of all testnets with a state folder, whole or half-made."""
    try:
        return sorted(entry.name for entry in os.scandir(home() / "testnets") if entry.is_dir() and NAME.match(entry.name))
    except FileNotFoundError:
        return []


def ups() -> list[Testnet]:
    """All testnets of this home that are up."""
    return [testnet for name in names() if (testnet := find(name)) and testnet.status == "up"]
