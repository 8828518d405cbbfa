# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clusters of a testnet: the same playbook that provisions production, as a plain ansible-playbook for each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from nodewise.errors import SetupError, UsageError
from nodewise.testnet import inventory, roles, ssh, staged
from nodewise.testnet.home import checkout, home
from nodewise.testnet.state import Testnet
from nodewise.text import cut

PLAYBOOK = "playbooks/provision.yml"
END_SECONDS = 10
LOOK_SECONDS = 0.1
STEP = re.compile(r" *[\d.]+s  (?:[\w.]+ : )?(.+ \([\d.]+ s\)): changed ")  # as the callback nodewise.cluster.live tells it


def check(system: str | None, version: str | None) -> None:
    """Raise UsageError unless there is a role for the system, whose releases know the version."""
    if system is None:
        if version is not None:
            raise UsageError(f"--version {version} needs --system, such as: --system etcd --version {version}")
        return
    _check_version(system, version)


def _check_version(system: str, version: str | None) -> None:
    from nodewise.releases.rules import known_versions, load_rules

    rules = load_rules(roles.find(system))
    versions = known_versions(rules)
    if rules.any or rules.described_by or version in versions or (rules.default and not version):
        return  # what the nodes are offered, they are asked for
    found = f"no release {version!r} of {system}" if version else f"--system {system} needs --version"
    raise UsageError(f"{found}; known: {', '.join(versions)}")


def provision(testnet: Testnet, say: Callable[[str], None]) -> Testnet:
    """Provision the clusters of this testnet, all at once; return it with the version that it has now.

    Each step that changed something is said when it is done. SetupError with the words of the task that failed; the whole output
    stays in a log. A member waits for a cluster that it needs.
    """
    clusters = list(inventory.groups(testnet))
    staged.put(testnet)
    with ExitStack() as stack:
        told: dict[str, int] = {}
        processes = [stack.enter_context(playing(testnet, cluster)) for cluster in clusters]
        for cluster, process in zip(clusters, processes, strict=True):
            while process.poll() is None:
                told = _tell(clusters, told, say)
                time.sleep(LOOK_SECONDS)
            told = _tell(clusters, told, say)
            if process.returncode:
                why = failure(_log(cluster).read_text(errors="replace"))
                raise SetupError(f"provisioning {cluster} failed: {why}\nAll of it: {_log(cluster)}")
    testnet = replace(testnet, version=installed(testnet) or testnet.version)
    testnet.save()
    staged.keep(testnet)
    return testnet


def _tell(clusters: list[str], told: Mapping[str, int], say: Callable[[str], None]) -> dict[str, int]:
    """Say the steps that the playbooks' output has beyond so many bytes; return how far it was read."""
    read = {}
    for cluster in clusters:
        whole, _end, _rest = _log(cluster).read_bytes()[told.get(cluster, 0) :].rpartition(b"\n")
        read[cluster] = told.get(cluster, 0) + len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if step := STEP.match(line):
                say(f"  {f'{cluster}: ' if len(clusters) > 1 else ''}{step[1]}")
    return read


def installed(testnet: Testnet) -> str | None:
    """The version of its system that its first node runs, or None where that could not be read."""
    name = (testnet.system or "").rpartition(".")[2]
    done = ssh.run(testnet, testnet.nodes[0], f"basename $(readlink /opt/nodewise/{name}/current)")
    return done.stdout.strip() or None if done.returncode == 0 else None


@contextmanager
def playing(testnet: Testnet, cluster: str) -> Iterator[subprocess.Popen[bytes]]:
    """The playbook that provisions one cluster, at work; it and its children have ended when the block is left."""
    words = [str(Path(sys.executable).with_name("ansible-playbook")), PLAYBOOK, "-e", f"nodewise_cluster={cluster}"]
    _log(cluster).parent.mkdir(parents=True, exist_ok=True)
    with _log(cluster).open("wb") as output:
        process = subprocess.Popen(  # in a group of its own, so that its children end with it
            words,
            cwd=checkout(),
            env=environment(testnet),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)


def _log(cluster: str) -> Path:
    return home() / "logs" / f"provision-{cluster}.log"


def environment(testnet: Testnet) -> dict[str, str]:
    """For ansible-playbook: our configuration, the user's collections, and this testnet as the whole inventory."""
    config = str(checkout() / "ansible.cfg")
    ours = {"ANSIBLE_CONFIG": config, "ANSIBLE_NOCOLOR": "1", "NODEWISE_TESTNET": testnet.name, "NODEWISE_HOME": str(home())}
    return {**os.environ, **roles.environment(), **ours}


def failure(output: str) -> str:
    """The line of ansible-playbook's output that says what went wrong: the first error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("[ERROR]", "ERROR!", "fatal:"))]
    return cut((errors or lines[-1:] or ["ansible-playbook said nothing"])[0], 300)
