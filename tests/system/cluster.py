"""A real etcd cluster on a testnet, worked on by ansible-playbook as an operator does it, and looked at past our own code."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodewise import testnet
from nodewise.scenario import clients_of
from nodewise.testnet.podman import Podman
from nodewise.testnet.provision import environment
from nodewise.testnet.state import checkout
from nodewise.workloads.data import DataSet, seed_data, verify_data

OLD, NEW = "3.4.23", "3.5.16"
ETCDCTL = """cd /etc/nodewise/etcd; ETCDCTL_API=3 /opt/nodewise/etcd/current/bin/etcdctl \
--endpoints https://$(hostname):2379 --cacert ca.crt --cert node.crt --key node.key """
# Everything that a change leaves. A snapshot is kept on the node by intent; it changes nothing that runs.
LOOK = r"""systemctl show etcd -P ActiveState -P MainPID -P ExecMainStartTimestampMonotonic
find /opt/nodewise /etc/nodewise /etc/systemd/system -name backups -prune -o \
  -type d -printf '%p/\n' -o -type l -printf '%p -> %l\n' -o -printf '%p %s %T@\n' | sort"""
STARTED = "39f53479d3a045ac8e11786248231fbf"  # systemd's id of the message that a unit was started
STARTS = f"journalctl --sync; journalctl --quiet --output=cat --unit=etcd MESSAGE_ID={STARTED} | wc --lines"


@dataclass(frozen=True)
class Ended:
    """A playbook that has ended: its exit code, what it printed, and the folder of its record."""

    code: int
    said: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        """The record's summary.json."""
        return dict(json.loads((self.folder / "summary.json").read_text()))

    @property
    def outcome(self) -> str:
        """How the upgrade ended."""
        return str(self.summary["outcome"])

    def journal(self, kind: str, phase: str) -> list[dict[str, Any]]:
        """The journal's records of a kind and phase."""
        return [record for record in read(self.folder) if (record["kind"], record["phase"]) == (kind, phase)]


@dataclass
class Cluster:
    """A testnet with etcd on it, and the data that was put into it."""

    net: testnet.Testnet
    runs: Path
    data: DataSet | None = None

    @property
    def names(self) -> list[str]:
        """Of the members."""
        return [node.name for node in self.net.nodes]

    def seed(self) -> Cluster:
        """Put a data set into it."""
        self.data = seed_data(clients_of(self.net)(self.names[0]), 4711)
        return self

    def data_whole(self) -> bool:
        """Whether the data set is there through every member, in all its parts."""
        assert self.data
        factory = clients_of(self.net)
        return not any(verify_data(factory(name), self.data) for name in self.names)

    def command(self, playbook: str, *words: str, **variables: Any) -> tuple[list[str], dict[str, str], Path]:
        """The words and the environment of ansible-playbook, and the folder for the run's record."""
        folder = self.runs / f"{playbook}-{secrets.token_hex(3)}"
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        given = [word for name, value in variables.items() for word in ("-e", json.dumps({name: value}))]
        env = {**environment(self.net), "NODEWISE_RUN_DIR": str(folder), "NODEWISE_VIEW": "plain"}
        return [program, f"playbooks/{playbook}.yml", *words, *given], env, folder

    def play(self, playbook: str, *words: str, env: dict[str, str] | None = None, **variables: Any) -> Ended:
        """Run a playbook on this cluster to its end. It never ends in a traceback."""
        command, own, folder = self.command(playbook, *words, **variables)
        done = subprocess.run(
            command,
            cwd=checkout(),
            env={**own, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Ended(done.returncode, done.stdout + done.stderr, folder)

    def upgrade(self, *words: str, to: str = NEW, **variables: Any) -> Ended:
        """Run the upgrade to a version."""
        return self.play("upgrade", *words, nodewise_to=to, **variables)

    def root(self, node: str, line: str) -> str:
        """What a line printed in root's shell on a node; not over SSH, which some tests take away."""
        found = self.net.node(node)
        done = subprocess.run(Podman().exec_command(found.name, ["sh", "-c", line]), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def everywhere(self, line: str) -> dict[str, str]:
        """What a line printed on each node, on all of them at once."""
        with ThreadPoolExecutor() as pool:
            return dict(zip(self.names, pool.map(lambda name: self.root(name, line), self.names), strict=True))

    def etcdctl(self, node: str, words: str) -> str:
        """What etcdctl printed on a node, asking that member alone."""
        return self.root(node, ETCDCTL + words)

    def look(self) -> dict[str, str]:
        """All on each node that an upgrade changes: processes, releases, links, configuration."""
        return self.everywhere(LOOK)

    def starts(self) -> dict[str, int]:
        """How often each member was started since its node was made."""
        return {name: int(count) for name, count in self.everywhere(STARTS).items()}

    def versions(self) -> set[str]:
        """What the members' processes say that they are."""
        words = "endpoint status --write-out json"
        return {json.loads(self.etcdctl(name, words))[0]["Status"]["version"] for name in self.names}

    def refuse(self, *words: str, code: int = 2, **variables: Any) -> str:
        """Run an upgrade that has to be refused: in one or two lines, with nothing changed on any node. Returns why."""
        before = self.look()
        ended = self.upgrade(*words, **variables)
        reason = str(ended.summary["reason"])
        assert ("refused", code) == (ended.outcome, ended.code), ended.said
        assert all(line in ended.said for line in reason.splitlines())
        assert len(reason.splitlines()) <= 2, reason
        assert before == self.look()
        return reason


@contextmanager
def made(runs: Path, nodes: int = 3, version: str = OLD) -> Iterator[Cluster]:
    """A cluster of its own, with data in it, removed at the end."""
    net = testnet.up(testnet.Request(f"t{secrets.token_hex(3)}", nodes, system="etcd", version=version))
    try:
        yield Cluster(net, runs).seed()
    finally:
        testnet.down(net.name)


def read(folder: Path) -> list[dict[str, Any]]:
    """The whole records of a journal, which may be written to just now."""
    path = folder / "journal.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def descendants(pid: int) -> list[int]:
    """A process and all that it started and that did not leave it."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [pid, *(deeper for child in children for deeper in descendants(int(child)))]
