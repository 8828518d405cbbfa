# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A key pair for each testnet and a host key for each node, made here, so that no connection ever trusts on first use."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nodewise import files
from nodewise.testnet import tools
from nodewise.testnet.state import Node, Testnet


def make(testnet: Testnet) -> None:
    """Write `key`, `key.pub`, `known_hosts` and a folder of keys for each node into the state folder."""
    _generate(testnet.key, testnet.name)
    with ThreadPoolExecutor(max_workers=8) as pool:
        lines = list(pool.map(lambda node: _host_key(testnet, node), testnet.nodes))
    files.write(testnet.known_hosts, "".join(lines))


def node_folder(testnet: Testnet, node: Node) -> Path:
    """What the node sees as /etc/testnet."""
    return testnet.state / "nodes" / node.name


def _host_key(testnet: Testnet, node: Node) -> str:
    """Make the node's keys; its line for known_hosts."""
    folder = node_folder(testnet, node)
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "ssh_host_ed25519_key"
    _generate(key, node.name)
    shutil.copyfile(testnet.key.with_name("key.pub"), folder / "authorized_keys")
    kind, value = key.with_name(f"{key.name}.pub").read_text().split()[:2]
    return f"{node.address},{node.name} {kind} {value}\n"


def _generate(path: Path, comment: str) -> None:
    tools.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], timeout=20)
