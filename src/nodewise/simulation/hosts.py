# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes of a testnet as hosts for faults, and who leads the cluster on them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nodewise import pki
from nodewise.errors import SetupError
from nodewise.simulation.faults import held
from nodewise.simulation.faults.host import Host, HostError, NotProved, Scene
from nodewise.simulation.workloads.client import ClientFactory, HandsOver, Leads
from nodewise.systems import catalog
from nodewise.testnet import lifecycle, ssh
from nodewise.testnet.state import Node, Testnet

# What a node is like, each part under its command; one that fails has said why.
COLLECT = f"""look() {{ echo "== $*"; "$@" 2>&1 || :; }}
look date -u; look uptime; look df -h; look ps -eo pid,stat,etime,pcpu,rss,comm --forest; look ip -s link
look nft list ruleset; look iptables-save -t mangle; look ls -lR {held.ROOT}
look systemctl --failed --no-pager; look systemctl status --no-pager {{unit}}; look journalctl --no-pager -n 3000"""
PATIENCE = 30.0  # seconds until a member leads that was to
ANY = 1_000_000  # days that a certificate would have to have left, to be kept: always a new one


@dataclass(frozen=True)
class TestHost:
    """A node of a testnet, reached over the shared SSH connection."""

    net: Testnet
    node: Node

    __test__ = False  # not a test of pytest's

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def address(self) -> str:
        """The node's address."""
        return self.node.address

    def run(self, script: str, timeout: float = 20) -> str:
        """Run a script as root; HostError with its last words when it fails, or when the node is not reached."""
        command = ssh.command(self.net, self.node, ["sudo", "sh", "-s"])
        try:
            done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise HostError(f"{self.name} did not answer within {timeout:g} s") from None
        if done.returncode:
            raise HostError(f"{self.name}: {done.stderr.strip() or f'exit code {done.returncode}'}")
        return done.stdout.strip()


def scene_of(net: Testnet, factory: ClientFactory | None) -> Scene:
    """All nodes of a testnet, and the cluster on it; without clients nobody can tell who leads."""
    hosts: dict[str, Host] = {node.name: TestHost(net, node) for node in net.nodes}
    unit, data = (getattr(catalog.find(net.system, net.variables), name, "") if net.system else "" for name in ("UNIT", "DATA"))
    leads, expired, power = (lambda: leader(factory, list(hosts))), (lambda name: _expired(net, name)), partial(_power, net)
    return Scene(hosts, list(hosts), unit, leads, data, expired, factory, power)


def on_paper(system: str, variables: Mapping[str, Any], nodes: Sequence[str]) -> Scene:
    """A cluster that is yet to be made, for faults to say that they cannot be done to it. Its hosts cannot be asked anything."""
    found, nobody = catalog.find(system, variables), dict.fromkeys(nodes)
    unit, data = (getattr(found, name, "") for name in ("UNIT", "DATA"))
    factory = found.connect({name: found.url("192.0.2.1") for name in nodes}, None)
    return Scene(
        nobody,  # type: ignore[arg-type]
        list(nodes),
        unit,
        lambda: nodes[0],
        data,
        client=factory,
        power=lambda _names, _on: None,
        kernel_time=getattr(found, "KERNEL_TIME", False),
    )


def _power(net: Testnet, names: Sequence[str], on: bool) -> None:
    """Without a word to whoever runs there; a node that is on is left alone."""
    lifecycle.power(net, [net.node(name) for name in names], off=not on, on=on, kill=True)


def _expired(net: Testnet, name: str) -> dict[str, str]:
    """A node's certificate and key, by the authority of the cluster on the testnet, with no day left; nothing of it is written."""
    if not net.pki.is_dir():
        return {}
    old = pki.node(net.pki, net.name, name, [net.node(name).address], days=0, renew_days=ANY, check=True)
    return {f"/etc/nodewise/{net.system}/node.{end}": text for end, text in (("crt", old.certificate), ("key", old.key))}


def collect(scene: Scene, folder: Path) -> None:
    """Keep the state and the log of each node in a file of its name. A node that does not answer has a file that says so."""
    folder.mkdir(exist_ok=True)

    def keep(host: Host) -> None:
        try:
            said = host.run(COLLECT.replace("{unit}", scene.unit or "-.slice"))
        except HostError as error:
            said = f"not collected: {error}"
        kept = folder / f"{host.name}-state.txt"
        kept.touch(0o600)  # logs may say more than one would show
        kept.write_text(f"{said}\n")

    with ThreadPoolExecutor(max(1, len(scene.hosts))) as pool:
        list(pool.map(keep, scene.hosts.values()))


def leader(factory: ClientFactory | None, nodes: list[str]) -> str:
    """The node whose member says that it leads. Raises NotProved when not exactly one does."""
    if factory is None:
        raise NotProved("there is no cluster to ask who leads")
    with ThreadPoolExecutor(len(nodes)) as pool:
        leading = [node for node, leads in zip(nodes, pool.map(lambda node: _leads(factory, node), nodes), strict=True) if leads]
    if len(leading) != 1:
        raise NotProved(f"{', '.join(leading) or 'nobody'} leads; expected one member that does")
    return leading[0]


def hand_over(scene: Scene, to: str) -> None:
    """Have a node's member lead, and wait until it does. Raises SetupError, with the reason."""
    until, why = time.monotonic() + PATIENCE, "it did not take over"
    while time.monotonic() < until:
        try:
            if (leading := scene.leader()) == to:
                return
            if not scene.client or not isinstance(client := scene.client(leading), HandsOver):
                raise SetupError(f"{leading} leads, and {to} was to; this system's client cannot hand leadership over")
            with closing(client):
                client.open()
                client.hand_over(scene.client(to))
        except (OSError, NotProved) as error:
            why = str(error)
        time.sleep(1)
    raise SetupError(f"{to} was to lead, and did not within {PATIENCE:g} s: {why}")


def _leads(factory: ClientFactory, node: str) -> bool:
    client = factory(node)
    if not isinstance(client, Leads):
        raise NotProved(f"the client of {node} ({type(client).__name__}) cannot tell who leads; name the nodes of the fault")
    try:
        with closing(client):
            client.open()
            return client.leads()
    except OSError:
        return False
