"""A real cluster on a testnet, worked on by ansible-playbook as an operator does it, and looked at past our own code.

What a system adds is in a file of its own: etcd_cluster.py, postgresql_cluster.py.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from nodewise import pki
from nodewise.simulation.harness import clients_of
from nodewise.simulation.workloads.data import seed_data, verify_data
from nodewise.testnet import lifecycle, state
from nodewise.testnet.home import checkout
from nodewise.testnet.podman import Podman
from nodewise.testnet.provision import environment
from nodewise.testnet.request import Request

SEED = int(os.environ.get("NODEWISE_SEED", "4711"))  # of the data, and of what clients do
LONGEST = 900  # seconds of a playbook, on a machine that does much else
# Everything that a change leaves. A snapshot and who looked last are kept on the node by intent; neither changes what runs.
LOOK = r"""systemctl show {unit} -P ActiveState -P MainPID -P ExecMainStartTimestampMonotonic
find /opt/nodewise /etc/nodewise /etc/systemd/system -name backups -prune -o -name state.json -o \
  -type d -printf '%p/\n' -o -type l -printf '%p -> %l\n' -o -printf '%p %s %T@\n' | sort"""
STARTED = "39f53479d3a045ac8e11786248231fbf"  # systemd's id of the message that a unit was started
STARTS = f"journalctl --sync; journalctl --quiet --output=cat --unit={{unit}} MESSAGE_ID={STARTED} | wc --lines"
# What no run may leave on a node: half-staged files, its modules.
LEFT = r"""ls -d /opt/nodewise/*/releases/.stage-* 2>/dev/null
pgrep -fa 'AnsiballZ|ansible_module' | grep -v pgrep"""


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

    def ended(self, timeout: float = LONGEST) -> Ended:
        """Wait for its end."""
        code = self.process.wait(timeout)
        said = self.log.read_text()
        assert "Traceback" not in said
        return Ended(code, said, self.folder)


@dataclass
class Cluster:
    """A testnet with a system on it, and the data that was put into it. A system says what its unit is and what it may leave."""

    net: state.Testnet
    runs: Path
    data: Any = None

    system: ClassVar[str]
    unit: ClassVar[str]
    old: ClassVar[str]
    new: ClassVar[str]
    look_too: ClassVar[str] = "true"  # besides LOOK
    left: ClassVar[str] = "true"  # besides LEFT; prints what should not be there

    @property
    def names(self) -> list[str]:
        """Of the members."""
        return [node.name for node in self.net.nodes]

    def seed(self) -> Self:
        """Put a data set into it."""
        self.data = seed_data(clients_of(self.net)(self.names[0]), SEED)
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
        return self.run(command, {**own, **(env or {})}, folder)

    def typed(self, line: str, *words: str) -> Ended:
        """Run a command of ansible-playbook that was printed, with more words."""
        command, env, folder = self.command("typed")
        return self.run([command[0], *shlex.split(line)[1:], *words], env, folder)

    def run(self, command: list[str], env: dict[str, str], folder: Path) -> Ended:
        """Run a command to its end, which never is a traceback."""
        done = subprocess.run(
            command,
            cwd=checkout(),
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Ended(done.returncode, done.stdout + done.stderr, folder)

    def start(self, *words: str, controller: Path | None = None, playbook: str = "upgrade", **variables: Any) -> Running:
        """Begin an upgrade, or another playbook, and leave it running; from another checkout with its own runs, if one is given."""
        given = self.given(**variables) if playbook == "upgrade" else variables
        command, env, folder = self.command(playbook, *words, **given)
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

    def given(self, to: str | None = None, **variables: Any) -> dict[str, Any]:
        """The variables of an upgrade: to the new version unless another is named, beyond the point of no return."""
        return {"nodewise_to": self.new if to is None else to, "nodewise_approve": "any", **variables}

    def upgrade(self, *words: str, **variables: Any) -> Ended:
        """Run the upgrade to a version, beyond the point of no return unless another approval is given."""
        return self.play("upgrade", *words, **self.given(**variables))

    def rollback(self, *words: str, **variables: Any) -> Ended:
        """Run the rollback of the whole upgrade."""
        return self.play("rollback", *words, **variables)

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

    def look(self) -> dict[str, str]:
        """All on each node that an upgrade changes: processes, releases, links, configuration."""
        return self.everywhere(f"{LOOK.format(unit=self.unit)}; {self.look_too}")

    def starts(self) -> dict[str, int]:
        """How often each member was started since its node was made."""
        return {name: int(count) for name, count in self.everywhere(STARTS.format(unit=self.unit)).items()}

    def left_behind(self, node: str) -> str:
        """What a run should not have left on a node; empty when there is nothing."""
        return self.root(node, f"{LEFT}; {self.left}; true")

    def lease(self, node: str) -> Any:
        """Who holds a node, as it remembers it."""
        state = self.root(node, f"cat /opt/nodewise/{self.system}/state.json 2>/dev/null || echo '{{}}'")
        return json.loads(state).get("lease")

    def version(self, node: str) -> str:
        """What a member's process says that it is."""
        raise NotImplementedError

    def leader(self) -> str:
        """The member that leads, as the members say themselves."""
        raise NotImplementedError

    def takes_writes(self, node: str) -> None:
        """Write something through a member, or raise."""
        raise NotImplementedError

    def serves(self, node: str) -> bool:
        """Whether a member answers a client on its own node."""
        raise NotImplementedError

    def anew(self, new: int = 0) -> None:
        """Put the cluster back to the old version, the first `new` of its members to the new one: much cheaper than other nodes."""
        raise NotImplementedError

    def reset(self) -> Self:
        """As it was when it was made, for tests that share it."""
        raise NotImplementedError

    def versions(self) -> set[str]:
        """What the members' processes say that they are."""
        return {self.version(name) for name in self.names}

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


Made = TypeVar("Made", bound=Cluster)


@contextmanager
def made(kind: type[Made], runs: Path, nodes: int = 3, **request: Any) -> Iterator[Made]:
    """A cluster of its own, with data in it, removed at the end."""
    name = f"t{secrets.token_hex(3)}"
    net = lifecycle.up(Request(name, nodes, system=kind.system, **{"version": kind.old, **request}))
    try:
        cluster = kind(net, runs)
        cluster.seed()
        yield cluster
    finally:
        lifecycle.down(net.name)


def until(well: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds; while it cannot be seen, it does not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if well():
                return
            seen = "it does not hold"
        except (AssertionError, ValueError) as error:
            seen = str(error)
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {seen}"
        time.sleep(0.3)


def in_a_switch(record: dict[str, Any]) -> bool:
    """Whether this record of a journal is a node's switch that begins."""
    return record.get("step") == "switch" and record["phase"] == "begin"


def read(folder: Path) -> list[dict[str, Any]]:
    """The whole records of a journal, which may be written to just now."""
    path = folder / "journal.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


@contextmanager
def short_lived(cluster: Cluster, node: str, days: int, scratch: Path) -> Iterator[str]:
    """Have a node's certificate end in some days (0: now), and have its own one back afterwards. Yields its path on the node."""
    folder, kept = f"/etc/nodewise/{cluster.system}", "/root/kept-certificate"
    shutil.copytree(cluster.net.pki, scratch / "pki")
    for file in (scratch / "pki/nodes").glob(f"{node}.*"):
        file.unlink()
    short = pki.node(scratch / "pki", cluster.net.name, node, [cluster.net.node(node).address], days=days, renew_days=0)
    files = {"node.crt": short.certificate, "node.key": short.key}
    write = "; ".join(f"echo {base64.b64encode(text.encode()).decode()} | base64 -d >{name}" for name, text in files.items())
    cluster.root(node, f"cd {folder}; mkdir -m 700 {kept}; cp -p node.crt node.key {kept}; {write}")
    try:
        yield f"{folder}/node.crt"
    finally:
        cluster.root(node, f"mv {kept}/* {folder}; rmdir {kept}")
