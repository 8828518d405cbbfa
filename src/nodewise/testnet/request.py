# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for when a testnet is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nodewise.errors import UsageError
from nodewise.testnet import provision, state, subnets

MOST_NODES = 50


@dataclass(frozen=True)
class Request:
    """What is to be made. Without `subnet` a free one is chosen; with `system` a cluster of that version is provisioned.

    `variables` are for Ansible: they stand in the inventory, as long as the testnet is there. `domains`: failure domains, dealt
    out to the nodes in their order. `prepare` is a script that root's shell runs on each node before the cluster is provisioned.
    """

    name: str = "dev"
    nodes: int = 3
    subnet: str | None = None
    system: str | None = None
    version: str | None = None
    keep_failed: bool = False
    variables: dict[str, Any] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    prepare: str = ""

    def check(self) -> None:
        """Raise UsageError for what can be told wrong without looking at the machine."""
        state.check_name(self.name)
        if not 1 <= self.nodes <= MOST_NODES:
            raise UsageError(f"{self.nodes} nodes: expected 1 to {MOST_NODES}, such as: testnet up --nodes 3")
        if self.subnet:
            subnets.parse(self.subnet, self.nodes)
        provision.check(self.system, self.version)
