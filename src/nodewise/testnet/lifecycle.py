"""Making and removing testnets. Whatever happens in between, `down` finds all of it again: by the labels, and in the state folder."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from nodewise.errors import SetupError, UsageError
from nodewise.testnet import image, keys, provision, ssh, state, subnets
from nodewise.testnet.podman import Podman
from nodewise.testnet.provider import LABEL_HOME, LABEL_TESTNET, Container, NodeSpec, Provider, Taken
from nodewise.testnet.state import Node, Testnet

MOST_NODES = 50
REACHABLE_SECONDS = 60
BUSY_SECONDS = 120  # how long `down` waits for an `up` that is at work on the same testnet

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What is to be made. Without `subnet` a free one is chosen; with `system` a cluster of that version is provisioned on it."""

    name: str = "dev"
    nodes: int = 3
    subnet: str | None = None
    system: str | None = None
    version: str | None = None
    keep_failed: bool = False

    def check(self) -> None:
        """Raise UsageError for what can be told wrong without looking at the machine."""
        state.check_name(self.name)
        if not 1 <= self.nodes <= MOST_NODES:
            raise UsageError(f"{self.nodes} nodes: expected 1 to {MOST_NODES}, such as: testnet up --nodes 3")
        if self.subnet:
            subnets.parse(self.subnet, self.nodes)
        provision.check(self.system, self.version)


def up(request: Request, say: Say = lambda _: None, provider: Provider | None = None) -> Testnet:
    """Make a testnet and return it when a command ran on every node over SSH, and the cluster, if asked for, is provisioned.

    On failure, Ctrl-C and SIGTERM all that was made is removed again (unless `keep_failed`, once the nodes are up).
    """
    request.check()
    provider = provider or Podman()
    provider.check()
    with state.locked(f"testnet-{request.name}"):
        _refuse_if_used(request.name, provider)
        tag = image.ensure(provider, say)
        testnet = _undone_on_failure(request.name, provider, say, lambda: _make(request, tag, provider))
    if testnet.system:
        _provision(testnet, request, say, provider)
    return testnet


def down(name: str, provider: Provider | None = None) -> int:
    """Remove a testnet, whole or half-made, and return how many things of it were found; 0 when there was nothing."""
    state.check_name(name)
    provider = provider or Podman()
    provider.check()
    with state.locked(f"testnet-{name}", wait=BUSY_SECONDS):
        provider.settle(name)
        _refuse_if_foreign(name, provider)
        return _remove(name, provider)


def foreign(labels: Any) -> bool:
    """True if what has these labels belongs to another home that still exists."""
    other = labels.get(LABEL_HOME, "")
    return other != str(state.home()) and bool(other) and Path(other).is_dir()


def of(name: str, things: list[Any]) -> list[Any]:
    """Those containers or networks that belong to the testnet."""
    return [thing for thing in things if thing.labels.get(LABEL_TESTNET) == name]


def _refuse_if_used(name: str, provider: Provider) -> None:
    found = [*of(name, provider.networks()), *of(name, provider.nodes())]
    if not found and not state.folder(name).exists():
        return
    if any(foreign(thing.labels) for thing in found):
        raise UsageError(f"a testnet named {name} exists, made from {found[0].labels[LABEL_HOME]}; choose another name with --name")
    known = state.find(name)
    what = f"{known.status}, {len(known.nodes)} nodes" if known else "half-made"
    raise UsageError(f"a testnet named {name} exists ({what}); choose another name with --name, or: testnet down --name {name}")


def _refuse_if_foreign(name: str, provider: Provider) -> None:
    for thing in [*of(name, provider.networks()), *of(name, provider.nodes())]:
        if foreign(thing.labels):
            other = thing.labels[LABEL_HOME]
            raise UsageError(f"testnet {name} was made from {other}; remove it from there, or with: NODEWISE_HOME={other} testnet down --name {name}")


def _make(request: Request, tag: str, provider: Provider) -> Testnet:
    names = [f"{request.name}-n{number}" for number in range(1, request.nodes + 1)]
    labels = {LABEL_TESTNET: request.name, LABEL_HOME: str(state.home())}
    subnet = _claim_network(request, provider, labels)
    nodes = tuple(Node(name, address) for name, address in zip(names, subnets.addresses(subnet, request.nodes), strict=True))
    testnet = Testnet(request.name, nodes, str(subnet), request.system, request.version, created=time.time())
    testnet.save()
    keys.make(testnet)
    ssh.make_control_dir(testnet.name)
    _start(testnet, tag, provider, labels)
    testnet = replace(testnet, status="up")
    testnet.save()
    return testnet


def _claim_network(request: Request, provider: Provider, labels: dict[str, str]) -> IPv4Network:
    """Create the network on the range asked for, or on the first that is free. Creating is what decides between two at once."""
    taken = [*(subnet for network in provider.networks() for subnet in network.subnets), *subnets.routes()]
    if request.subnet:
        wanted = subnets.parse(request.subnet, request.nodes)
        clash = next((other for other in taken if other.overlaps(wanted)), None)
        if clash:
            raise UsageError(f"--subnet {wanted} overlaps with {clash}, which this machine uses; choose another, or leave --subnet out")
        candidates = iter([wanted])
    else:
        candidates = subnets.free(taken)
    said = "every range of the pool is taken"
    for subnet in candidates:
        try:
            provider.create_network(network_name(request.name), subnet, labels)
        except Taken as error:
            said = str(error)
            continue
        return subnet
    raise UsageError(f"no address range for the testnet: {said}; name a free one with --subnet, such as 10.99.0.0/24")


def network_name(name: str) -> str:
    return f"nodewise-{name}"


def _start(testnet: Testnet, tag: str, provider: Provider, labels: dict[str, str]) -> None:
    """Create all nodes at once and wait until each was reached. The first failure ends the waiting for the others."""
    stop = threading.Event()
    deadline = time.monotonic() + REACHABLE_SECONDS

    def start(node: Node) -> None:
        peers = {peer.name: peer.address for peer in testnet.nodes if peer != node}
        folder = keys.node_folder(testnet, node)
        provider.create_node(NodeSpec(node.name, node.address, network_name(testnet.name), tag, folder, peers, labels))
        ssh.wait_reachable(testnet, node, deadline, stop)

    pool = ThreadPoolExecutor(max_workers=10)
    try:
        for future in [pool.submit(start, node) for node in testnet.nodes]:
            future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _undone_on_failure(name: str, provider: Provider, say: Say, make: Callable[[], Testnet]) -> Testnet:
    with _interruptible():
        try:
            return make()
        except BaseException as error:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if not isinstance(error, UsageError):
                say(f"removing what was made of testnet {name}")
            _remove(name, provider)
            raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end us as Ctrl-C does; in another thread than the main one signals are not ours to set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _remove(name: str, provider: Provider) -> int:
    """Remove all of a testnet; its state goes last, so that a second `down` still knows what a killed one left."""
    ssh.close(name)
    nodes: list[Container] = of(name, provider.nodes())
    provider.remove_nodes([node.name for node in nodes])
    networks = of(name, provider.networks())
    for network in networks:
        provider.remove_network(network.name)
    folders = [path for path in (ssh.control_dir(name), state.folder(name)) if path.exists()]
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
    return len(nodes) + len(networks) + len(folders)


def _provision(testnet: Testnet, request: Request, say: Say, provider: Provider) -> None:
    try:
        say(f"provisioning {testnet.system} {testnet.version}")
        provision.provision(testnet)
    except BaseException:
        if not request.keep_failed:
            say(f"removing testnet {testnet.name}; --keep-failed keeps it")
            down(testnet.name, provider)
        raise


__all__ = ["Request", "SetupError", "down", "up"]
