"""Testnets: systemd nodes as containers, on a private network, reachable over SSH with pinned keys.

`up(Request(name="dev", nodes=3))` makes one, `load("dev")` finds it again,
`load("dev").run("n1", "uptime")` runs a line on a node, `down("dev")` removes it.
"""

from __future__ import annotations

from nodewise.testnet.lifecycle import Request, down, up
from nodewise.testnet.state import Node, Testnet, load

__all__ = ["Node", "Request", "Testnet", "down", "load", "up"]
