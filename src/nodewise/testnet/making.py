# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of `up`: claim a network, make keys, start all nodes at once, wait until each was reached."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from nodewise.errors import UsageError
from nodewise.testnet import keys, ssh, subnets
from nodewise.testnet.home import home
from nodewise.testnet.provider import LABEL_HOME, LABEL_TESTNET, NodeSpec, Provider, Taken
from nodewise.testnet.request import Request
from nodewise.testnet.state import Node, Testnet

REACHABLE_SECONDS = 60
AT_ONCE = 10  # nodes started side by side


def make(request: Request, image: str, provider: Provider) -> Testnet:
    """Make it and return it, reachable. On failure it raises and leaves what it made, labelled."""
    name, count = request.name, request.nodes
    labels = {LABEL_TESTNET: name, LABEL_HOME: str(home())}
    claimed = _claim_network(name, count, request.subnet, provider, labels)
    addresses = subnets.addresses(claimed, count)
    nodes = tuple(Node(f"{name}-n{number}", address) for number, address in enumerate(addresses, start=1))
    about: dict[str, Any] = {"created": time.time(), "variables": request.variables, "domains": request.domains}
    testnet = Testnet(name, nodes, str(claimed), request.system, request.version, **about)
    testnet.save()
    keys.make(testnet)
    ssh.make_control_dir(name)
    _start(testnet, image, provider, labels)
    testnet = replace(testnet, status="up")
    testnet.save()
    return testnet


def _claim_network(name: str, count: int, subnet: str | None, provider: Provider, labels: dict[str, str]) -> IPv4Network:
    """Create the network on the range asked for, or on the first free one. Creating is what decides between two at once."""
    taken = [*(subnet for network in provider.networks() for subnet in network.subnets), *subnets.routes()]
    candidates: Iterable[IPv4Network] = [_free(subnets.parse(subnet, count), taken)] if subnet else subnets.free(taken)
    said = "every range of the pool is taken"
    for candidate in candidates:
        try:
            provider.create_network(f"nodewise-{name}", candidate, labels)
        except Taken as error:
            said = str(error)
            continue
        return candidate
    raise UsageError(f"no address range for testnet {name}: {said}; name a free one, such as: --subnet 10.99.0.0/24")


def _free(wanted: IPv4Network, taken: list[IPv4Network]) -> IPv4Network:
    for other in taken:
        if other.overlaps(wanted):
            raise UsageError(f"--subnet {wanted} overlaps with {other}, which this machine uses; choose another, or leave it out")
    return wanted


def _start(testnet: Testnet, image: str, provider: Provider, labels: dict[str, str]) -> None:
    """Create all nodes at once and wait until each was reached. The first failure ends the waiting for the others."""
    stop = threading.Event()
    deadline = time.monotonic() + REACHABLE_SECONDS

    def start(node: Node) -> None:
        peers = {peer.name: peer.address for peer in testnet.nodes if peer != node}
        folder = keys.node_folder(testnet, node)
        provider.create_node(NodeSpec(node.name, node.address, f"nodewise-{testnet.name}", image, folder, peers, labels))
        ssh.wait_reachable(testnet, node, deadline, stop)

    pool = ThreadPoolExecutor(max_workers=AT_ONCE)
    try:
        for future in [pool.submit(start, node) for node in testnet.nodes]:
            future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
