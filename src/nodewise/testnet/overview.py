# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is there: testnets by state and by labels, nodes as they are just now."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nodewise.errors import UsageError
from nodewise.testnet import lifecycle, ssh, state
from nodewise.testnet.podman import Podman
from nodewise.testnet.provider import LABEL_TESTNET, Container, Provider
from nodewise.testnet.state import Node, Testnet
from nodewise.text import cut

# Failed units on one line, then a line for each system that is installed, as its `current` link has it: etcd 3.4.23.
PROBE = """systemctl list-units --failed --no-legend --plain | awk '{print $1}' | xargs
for link in /opt/nodewise/*/current; do
  [ -L "$link" ] && echo "$(basename "$(dirname "$link")") $(basename "$(readlink "$link")")"
done
true"""
PROBE_SECONDS = 15
LIST_SECONDS = 5


@dataclass(frozen=True)
class Known:
    """A testnet of this machine, and what is on its nodes now. `elsewhere` is the home it was made from when that is not ours."""

    name: str
    nodes: str
    state: str
    subnet: str
    system: str
    elsewhere: str


@dataclass(frozen=True)
class Report:
    """A node just now. What could not be read is `?`."""

    name: str
    address: str
    container: str
    ssh: str
    failed_units: str
    installed: str

    @property
    def ok(self) -> bool:
        """Whether it runs, answers and has no failed unit."""
        return (self.container, self.ssh, self.failed_units) == ("running", "ok", "-")


def everything(provider: Provider | None = None) -> list[Known]:
    """All testnets that left a trace: a state folder here, or labelled containers and networks anywhere."""
    provider = provider or Podman()
    provider.check()
    containers, networks = provider.nodes(), provider.networks()
    labelled: dict[str, Mapping[str, str]] = {}
    for labels in (*(network.labels for network in networks), *(container.labels for container in containers)):
        if LABEL_TESTNET in labels:
            labelled[labels[LABEL_TESTNET]] = labels
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(lambda name: _known(name, labelled.get(name, {}), containers), sorted({*state.names(), *labelled})))


def _known(name: str, labels: Mapping[str, str], everywhere: list[Container]) -> Known:
    elsewhere, containers = lifecycle.foreign(labels), lifecycle.of(name, everywhere)
    running = [container.name for container in containers if container.state == "running"]
    testnet = None if elsewhere else state.find(name)
    if testnet is None:
        return Known(name, f"{len(running)}/?", "?" if elsewhere else "half-made", "?", "?", elsewhere or "")
    whole = "up" if len(running) == len(testnet.nodes) else "degraded"
    condition = whole if testnet.status == "up" else "half-made"
    system = _installed([_report(testnet, node, "running", LIST_SECONDS) for node in testnet.nodes if node.name in running])
    return Known(
        name, f"{len(running)}/{len(testnet.nodes)}", condition, testnet.subnet, system or ("?" if testnet.system else "-"), ""
    )


def _installed(reports: list[Report]) -> str:
    """What the nodes that answer have: each system with its version, or with all of them; empty where there is none."""
    versions: dict[str, set[str]] = {}
    for report in reports:
        for system, _blank, version in (one.partition(" ") for one in report.installed.split(", ") if " " in one):
            versions.setdefault(system, set()).add(version)
    return ", ".join(f"{system} {' and '.join(sorted(there))}" for system, there in versions.items())


def nodes(testnet: Testnet, provider: Provider | None = None) -> list[Report]:
    """A report for each node, asked at once."""
    provider = provider or Podman()
    provider.check()
    states = {container.name: container.state for container in provider.nodes()}
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(lambda node: _report(testnet, node, states.get(node.name, "missing")), testnet.nodes))


def _report(testnet: Testnet, node: Node, container: str, seconds: float = PROBE_SECONDS) -> Report:
    try:
        done = ssh.run(testnet, node, PROBE, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Report(node.name, node.address, container, f"no answer in {seconds:g} s", "?", "?")
    if done.returncode:
        return Report(node.name, node.address, container, cut((done.stderr.strip().splitlines() or ["failed"])[-1], 60), "?", "?")
    failed, *installed = done.stdout.splitlines()
    return Report(node.name, node.address, container, "ok", failed.strip() or "-", ", ".join(installed) or "-")


def find_node(node: str, name: str | None = None) -> tuple[Testnet, Node]:
    """The node by its full name, or by a short one (n1) when only one testnet is up or `name` says which; else UsageError."""
    testnets = [state.load(name)] if name else state.ups()
    if not testnets:
        raise UsageError(f"no node {node}: no testnet is up. Make one with: testnet up --nodes 3")
    prefix = node.rpartition("-")[0]
    candidates = [testnet for testnet in testnets if prefix in ("", testnet.name)]
    if len(candidates) == 1:
        return candidates[0], candidates[0].node(node)
    there = ", ".join(testnet.name for testnet in testnets)
    example = testnets[0].nodes[0].name
    raise UsageError(
        f"which node is {node!r}? Up are: {there}. Expected a name such as {example}, or --name TESTNET with a short one"
    )
