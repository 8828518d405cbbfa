"""What a testnet leaves on a machine, looked up past Nodewise's own code."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from nodewise.testnet import state, tools
from nodewise.testnet.podman import CONF


@dataclass(frozen=True)
class Had:
    """What a testnet had while it was up and what cannot be told by its name: its range, and the names of its interfaces."""

    subnet: str = ""
    links: tuple[str, ...] = ()


NOTHING = Had()


@dataclass
class Traces:
    """Everything of one testnet, by kind. Empty means that nothing of it is left."""

    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def of(name: str, home: Path, had: Had = NOTHING) -> Traces:
    """What is there of testnet `name` of that home."""
    return Traces(
        containers=[found for found in podman("ps", "-a", "--format", "{{.Names}}").split() if found.startswith(f"{name}-")],
        networks=[found for found in podman("network", "ls", "--format", "{{.Name}}").split() if found == f"nodewise-{name}"],
        links=[link for link in had.links if Path("/sys/class/net", link).exists()],
        rules=[
            rule for rule in output(*tools.as_root(["nft", "list", "ruleset"])).splitlines() if had.subnet and had.subnet in rule
        ],
        connections=[line for line in output("ps", "-eo", "args").splitlines() if line.startswith(f"ssh: {home}/testnets/{name}/")],
        folders=[str(path) for path in (home / "testnets" / name,) if path.exists()],
    )


def had(testnet: state.Testnet) -> Had:
    """Of a testnet that is up: its range, its bridge and the machine's ends of its nodes' links."""
    bridge = json.loads(podman("network", "inspect", f"nodewise-{testnet.name}"))[0]["network_interface"]
    return Had(testnet.subnet, (bridge, *(path.name for path in Path("/sys/class/net", bridge, "brif").iterdir())))


def podman(*words: str) -> str:
    """What podman prints, told of our kind of network: what it would take by itself depends on what the machine had first."""
    return output(*tools.as_root(["podman", *words], {"CONTAINERS_CONF": str(CONF)}))


def output(*words: str) -> str:
    """What a command prints; it must succeed."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
