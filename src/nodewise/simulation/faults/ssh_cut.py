# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fault `ssh_cut`: nobody reaches a host by SSH. It is held for its whole time, as nobody could renew or end it before."""

from __future__ import annotations

from typing import ClassVar

from nodewise.simulation.faults import targets
from nodewise.simulation.faults.fault import Applied, Fault, Holds, Means
from nodewise.simulation.faults.host import SSH_PORT, NotProved, Scene, banner
from nodewise.simulation.faults.targets import Target

CHAIN = "type filter hook input priority -300; policy accept;"
LATER = 0.3  # seconds until it begins: the answer to whoever asks for it goes out first


class SshCut(Fault, tag="ssh_cut"):
    """What comes to port 22 of each host of the target is dropped, connections that stand as well. The service goes on."""

    target: Target = "one"  # whom nobody reaches

    holds: ClassVar[Holds] = "whole"

    def check(self, nodes: list[str]) -> None:
        """The target is there."""
        targets.check(self.target, nodes)

    def takes(self, nodes: int) -> int:  # noqa: ARG002 (the protocol's name)
        """Nobody: members go on."""
        return 0

    def on(self, scene: Scene) -> dict[str, Means]:
        """A table on each host of the target."""
        table = f"nodewise_{self.id.replace('-', '_')}"
        rules = f"table inet {table} {{\n chain input {{\n  {CHAIN}\n  tcp dport {SSH_PORT} drop\n }}\n}}"
        means = Means(
            "nftables",
            f"sleep {LATER}; nft -f - <<'RULES'\n{rules}\nRULES",
            f"nft delete table inet {table} 2>/dev/null || ! nft list table inet {table} >/dev/null 2>&1",
        )
        return dict.fromkeys(targets.resolve(self.target, scene), means)

    def proved(self, applied: Applied) -> str:
        """No banner, from here."""
        if heard := [name for name in applied.where if banner(applied.scene.hosts[name].address)]:
            raise NotProved(f"{self.id}: {', '.join(heard)} still answers on port {SSH_PORT}")
        return f"port {SSH_PORT} of {', '.join(applied.where)} does not answer"

    def healed(self, applied: Applied) -> str:
        """A banner, from here."""
        if silent := [name for name in applied.where if not banner(applied.scene.hosts[name].address)]:
            raise NotProved(f"{self.id}: {', '.join(silent)} does not answer on port {SSH_PORT}")
        return f"port {SSH_PORT} of {', '.join(applied.where)} answers"
