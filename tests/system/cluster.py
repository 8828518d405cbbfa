"""A real etcd cluster on a testnet, worked on by ansible-playbook as an operator does it, and looked at past our own code."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
from nodewise.workloads.data import seed_data, verify_data

OLD, NEW = "3.4.23", "3.5.16"
ETCDCTL = """cd /etc/nodewise/etcd; ETCDCTL_API=3 /opt/nodewise/etcd/current/bin/etcdctl \
--endpoints https://$(hostname):2379 --cacert ca.crt --cert node.crt --key node.key """
# Everything that a change leaves. A snapshot and who looked last are kept on the node by intent; neither changes what runs.
LOOK = r"""systemctl show etcd -P ActiveState -P MainPID -P ExecMainStartTimestampMonotonic
find /opt/nodewise /etc/nodewise /etc/systemd/system -name backups -prune -o -name state.json -o \
  -type d -printf '%p/\n' -o -type l -printf '%p -> %l\n' -o -printf '%p %s %T@\n' | sort"""
ASK = """import ssl, urllib.request as r; c = ssl.create_default_context(cafile="ca.crt"); c.check_hostname = False
c.load_cert_chain("node.crt", "node.key"); print(r.urlopen("https://127.0.0.1:2379/version", context=c).read().decode())"""
STARTED = "39f53479d3a045ac8e11786248231fbf"  # systemd's id of the message that a unit was started
STARTS = f"journalctl --sync; journalctl --quiet --output=cat --unit=etcd MESSAGE_ID={STARTED} | wc --lines"


# Begins a cluster anew with its old version: data that has moved to the new one cannot go back.
ANEW = """systemctl stop etcd; rm -rf /var/lib/nodewise/etcd/member /opt/nodewise/etcd/state.json
ln -sfn releases/{} /opt/nodewise/etcd/current"""


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


@dataclass(frozen=True)
class Running:
    """A playbook that is running in a process group of its own."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def until(self, reached: Callable[[dict[str, Any]], object], seconds: float = 120) -> dict[str, Any] | None:
        """The first record of its journal that is as asked for, as soon as it is there; None when it ended without one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            if found := next((record for record in read(self.folder) if reached(record)), None):
                return found
            if ended:
                return None
            time.sleep(0.01)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """SIGKILL for its process group. Workers have left that, and end the task that they are in."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def ended(self, timeout: float = 240) -> Ended:
        """Wait for its end."""
        code = self.process.wait(timeout)
        said = self.log.read_text()
        assert "Traceback" not in said
        return Ended(code, said, self.folder)


@dataclass
class Cluster:
    """A testnet with etcd on it, and the data that was put into it."""

    net: testnet.Testnet
    runs: Path
    data: Any = None

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

    def start(self, *words: str, to: str = NEW, controller: Path | None = None, **variables: Any) -> Running:
        """Begin an upgrade and leave it running; from another checkout, which has its own runs, when one is given."""
        given = {"nodewise_to": to, "nodewise_approve": "any", **variables}
        command, env, folder = self.command("upgrade", *words, **given)
        if controller:
            env["ANSIBLE_CONFIG"] = str(controller / "ansible.cfg")
            env["NODEWISE_RUN_DIR"] = str(folder := controller / "runs" / folder.name)
        log = self.runs / f"{folder.name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=controller or checkout(),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Running(process, folder, log)

    def upgrade(self, *words: str, to: str = NEW, **variables: Any) -> Ended:
        """Run the upgrade to a version, beyond the point of no return unless another approval is given."""
        return self.play("upgrade", *words, **{"nodewise_to": to, "nodewise_approve": "any", **variables})

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

    def status(self, node: str) -> dict[str, Any]:
        """What a member says of itself."""
        return dict(json.loads(self.etcdctl(node, "endpoint status --write-out json"))[0]["Status"])

    def version(self, node: str) -> str:
        """What a member's process says that it is."""
        return str(self.status(node)["version"])

    def versions(self) -> set[str]:
        """What the members' processes say that they are."""
        return {self.version(name) for name in self.names}

    def leader(self) -> str:
        """The member that leads, as the members say themselves."""
        (name,) = (name for name in self.names if (said := self.status(name))["leader"] == said["header"]["member_id"])
        return name

    def acts_as(self, node: str) -> str:
        """The version that the cluster acts as, by its minor, as a member says."""
        said = self.root(node, "cd /etc/nodewise/etcd; python3 -c '" + ASK.format(node=node) + "'")
        return ".".join(str(json.loads(said)["etcdcluster"]).split(".")[:2])

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


def anew(cluster: Cluster, new: int = 0) -> None:
    """The same members with nothing but the data set, the first `new` of them on the new version: much cheaper than other nodes."""
    if {OLD} != cluster.versions() or new:
        for number, name in enumerate(cluster.names):
            cluster.root(name, ANEW.format(NEW if number < new else OLD))
        cluster.everywhere("systemctl start etcd")
        cluster.seed()


def in_a_switch(record: dict[str, Any]) -> bool:
    """Whether this record of a journal is a node's switch that begins."""
    return record.get("step") == "switch" and record["phase"] == "begin"


def read(folder: Path) -> list[dict[str, Any]]:
    """The whole records of a journal, which may be written to just now."""
    path = folder / "journal.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
