# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes as systemd containers of root's podman.

Podman is called with settings of our own (containers.conf), and all that it makes is labelled.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

from nodewise.errors import SetupError, UsageError
from nodewise.testnet import firewall, tools
from nodewise.testnet.provider import LABEL_TESTNET, Container, Network, NodeSpec, Taken

CONF = Path(__file__).with_name("containers.conf")
LABEL_IMAGE = "nodewise.image"
JOURNAL = "/run/log/journal"  # where journald of a node writes
FUSE = "/dev/fuse"  # where a kernel has it: for a fault that is a file system
PULL_SECONDS = 15  # a registry that answers slower than this is not worth waiting for: the mirror takes half a minute
STOP_SECONDS = 20  # until a node that does not shut down is ended
SETTLE_SECONDS = 60


class Podman:
    """The provider `podman`; `provider.Provider` says what each method promises."""

    def check(self) -> None:
        """Programs that podman calls itself count: without iptables netavark fails with `No such file`, naming none."""
        tools.require("podman", "runc", "iptables", "nft", "ssh", "ssh-keygen")
        tools.require_root()

    def networks(self) -> list[Network]:
        """Podman's own default network is among them."""
        found = json.loads(self._podman("network", "ls", "--format", "json").stdout or "[]") or []
        return [Network(net["name"], list(_subnets(net)), net.get("labels") or {}) for net in found]

    def create_network(self, name: str, subnet: IPv4Network, labels: Mapping[str, str]) -> None:
        """Podman decides under its own lock whether name and range are free."""
        words = ["network", "create", "--disable-dns", "--subnet", str(subnet), *_labels(labels), name]
        done = self._podman(*words, check=False)
        if "already" in done.stderr:
            raise Taken(tools.last_line(done.stderr))
        if done.returncode:
            raise SetupError(f"`podman network create` failed: {tools.last_line(done.stderr)}")

    def remove_network(self, name: str) -> None:
        """Its bridge goes with the last container, its rules in the firewall too, all but netavark's skeleton."""
        done = self._podman("network", "rm", "-f", "-t", "0", name, check=False)
        if done.returncode and "not found" not in done.stderr:
            raise SetupError(f"`podman network rm` failed: {tools.last_line(done.stderr)}")
        firewall.clean()

    def nodes(self) -> list[Container]:
        """All with our label, those that podman could not start among them."""
        listed = self._podman("ps", "-a", "--filter", f"label={LABEL_TESTNET}", "--format", "json")
        return [Container(c["Names"][0], c["State"], c.get("Labels") or {}) for c in json.loads(listed.stdout or "[]")]

    def create_node(self, spec: NodeSpec) -> None:
        """The capabilities are what systemd's sandboxing of units and faults of the network need.

        A node that ends without having been stopped was rebooted: it starts again, as a machine does.
        """
        self._podman(
            *("run", "--detach", "--pull=never", "--name", spec.name, "--hostname", spec.name),
            *("--systemd=always", "--restart=always", "--cap-add", "NET_ADMIN,SYS_ADMIN,SYS_PTRACE", "--log-driver", "k8s-file"),
            *(("--device", FUSE) if Path(FUSE).exists() else ()),
            *("--volume", JOURNAL),  # without a name: it goes with the node, and outlives its being off
            *("--network", spec.network, "--ip", spec.address),
            *(word for name, address in spec.hosts.items() for word in ("--add-host", f"{name}:{address}")),
            *("--mount", f"type=bind,src={spec.keys},dst=/etc/testnet,ro"),
            *_labels(spec.labels),
            spec.image,
        )

    def remove_nodes(self, names: Sequence[str]) -> None:
        """All in one command: podman removes them side by side."""
        if names:
            self._podman("rm", "-f", "-i", "-v", "-t", "0", *names, timeout=60 + 2 * len(names))

    def stop_nodes(self, names: Sequence[str], *, kill: bool) -> None:
        """In one command: podman stops them one after the other, but without grace where they are killed."""
        grace = "0" if kill else str(STOP_SECONDS)
        self._podman("stop", "-i", "-t", grace, *names, timeout=60 + STOP_SECONDS * len(names))

    def start_nodes(self, names: Sequence[str]) -> None:
        """With the network and the address that they were made with."""
        self._podman("start", *names, timeout=60)

    def settle(self, testnet: str) -> None:
        """A `podman run` whose parent was killed goes on, and its container would appear after we had looked."""
        label = f"{LABEL_TESTNET}={testnet}"
        deadline = time.monotonic() + SETTLE_SECONDS
        while left := [pid for pid, words in tools.processes() if label in words]:
            if time.monotonic() > deadline:
                raise SetupError(f"podman (process {left[0]}) is still making testnet {testnet}; end it, then try again")
            time.sleep(0.05)

    def store(self) -> Path:
        """As podman is configured."""
        return Path(self._podman("info", "--format", "{{.Store.GraphRoot}}").stdout.strip())

    def journal_command(self, node: str, words: Sequence[str]) -> list[str]:
        """Of a node that is off in a container that lives for this command, with that node's journal and nothing else of it."""
        asked = self._podman("container", "inspect", "--format", "{{.State.Status}} {{.Image}}", node, check=False)
        if asked.returncode:
            raise SetupError(f"{node} has no container: {tools.last_line(asked.stderr)}")
        state, image = asked.stdout.split()
        if state == "running":
            return self.exec_command(node, ["journalctl", *words])
        if "--follow" in words:
            raise UsageError(
                f"{node} is not running ({state}), so there is nothing to follow; leave out --follow, or: testnet start {node}"
            )
        return self._words(
            *(
                "run",
                "--rm",
                "--pull=never",
                "--network=none",
                "--env=TERM=dumb",
                "--volumes-from",
                f"{node}:ro",
                "--entrypoint",
                "journalctl",
            ),
            *(image, "--directory", JOURNAL, *words),
        )

    def exec_command(self, node: str, command: Sequence[str]) -> list[str]:
        """By `podman exec`."""
        return self._words("exec", node, *command)

    def has_image(self, tag: str) -> bool:
        """Asks the local storage alone."""
        return self._podman("image", "exists", tag, check=False).returncode == 0

    def images(self) -> list[str]:
        """Found by their label."""
        return self._podman("images", "--filter", f"label={LABEL_IMAGE}", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()

    def import_image(self, tar: Path, tag: str) -> None:
        """The tag appears when the image is whole. Podman's temporary files lie beside the archive: ended, it leaves them."""
        changes = ["--change", 'CMD ["/sbin/init"]', "--change", f"LABEL {LABEL_IMAGE}={tag}"]
        command = self._words("import", "--quiet", *changes, str(tar), tag, TMPDIR=str(tar.parent))
        tools.run(command, timeout=300)

    def build_image(self, base: str, context: Path, packages: Sequence[str], tag: str) -> None:
        """A base that was not there before is gone afterwards: the image is one layer of its own."""
        had = self.has_image(base)
        if not had:
            self._podman("pull", "--quiet", base, timeout=PULL_SECONDS)
        recipe = (
            f'FROM {base}\nCOPY setup.sh /setup.sh\nLABEL {LABEL_IMAGE}={tag}\nCMD ["/sbin/init"]\n'
            f"RUN apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}"
            " && sh /setup.sh && rm -rf /setup.sh /var/lib/apt/lists/*\n"
        )
        words = ["build", "--quiet", "--squash-all", "--network=host", "--pull=never", "-t", tag, "-f", "-", str(context)]
        try:
            self._podman(*words, timeout=900, text=recipe)
        finally:
            if not had:
                self.remove_image(base)

    def remove_image(self, tag: str) -> None:
        """Podman refuses while a container uses it."""
        self._podman("rmi", "-i", tag)

    def _words(self, *words: str, **env: str) -> list[str]:
        return tools.as_root(["podman", *words], {"CONTAINERS_CONF": str(CONF), **env})

    def _podman(
        self, *words: str, timeout: float = 60, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return tools.run(self._words(*words), timeout=timeout, check=check, text=text)


def _labels(labels: Mapping[str, str]) -> list[str]:
    return [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]


def _subnets(network: Mapping[str, Any]) -> Iterator[IPv4Network]:
    for subnet in network.get("subnets") or []:
        parsed = ip_network(subnet["subnet"])
        if isinstance(parsed, IPv4Network):
            yield parsed
