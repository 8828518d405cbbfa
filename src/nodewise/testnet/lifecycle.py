# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making and removing testnets. Whatever happens in between, `down` finds all of it: by labels, and in the state folder."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from nodewise.errors import NodewiseError, SetupError, UsageError
from nodewise.testnet import image, limits, making, provision, ssh, state, tools
from nodewise.testnet.home import home, locked, state_folder
from nodewise.testnet.interrupt import interruptible
from nodewise.testnet.podman import Podman
from nodewise.testnet.provider import LABEL_HOME, LABEL_TESTNET, Container, Network, Provider
from nodewise.testnet.request import Request
from nodewise.testnet.state import Node, Testnet
from nodewise.text import cut

START_SECONDS = 60  # until a node that was started has to answer
PREPARE_SECONDS = 900  # a script of the user's, which may install packages
JOURNAL_SECONDS = 20  # to read the journal of a node that failed
BUSY_SECONDS = 120  # how long `down` waits for an `up` that is at work on the same testnet

Say = Callable[[str], None]
Thing = TypeVar("Thing", Container, Network)


def up(request: Request, say: Say = lambda _: None, provider: Provider | None = None) -> Testnet:
    """Make a testnet; return it when a command ran on each node over SSH and the cluster, if asked for, is provisioned.

    On failure, Ctrl-C and SIGTERM all that was made is removed again, unless `keep_failed` is set and something failed; then the
    nodes' journals are kept. UsageError: nothing was touched; SetupError: something failed; KeyboardInterrupt.
    """
    request.check()
    provider = provider or Podman()
    provider.check()
    with interruptible(), locked(f"testnet-{request.name}"):
        _refuse_if_used(request.name, provider)
        limits.check(request.nodes, sum(node.state == "running" for node in provider.nodes()), provider.store())
        tag = image.ensure(provider, say)
        try:
            say(f"making {request.nodes} node{'s' * (request.nodes > 1)}")
            testnet = making.make(request, tag, provider)
            if request.prepare:
                say("preparing the nodes")
                _prepare(testnet, request.prepare, provider)
            if testnet.system:
                say(f"provisioning {testnet.system} {testnet.version or ''}".rstrip())
                testnet = provision.provision(testnet, say)
        except BaseException as failed:
            if request.keep_failed and isinstance(failed, SetupError):
                say(f"kept what was made of testnet {request.name}; remove it with: testnet down --name {request.name}")
                raise
            if isinstance(failed, SetupError):
                _keep_journals(request.name, provider, say)
            if _remove(request.name, provider):
                say(f"removed what was made of testnet {request.name}")
            raise
    return testnet


def _prepare(testnet: Testnet, script: str, provider: Provider) -> None:
    """Run a script on all nodes at once. SetupError names the first on which it failed, with its last words."""
    with ThreadPoolExecutor() as pool:
        asked = [(node.name, provider.exec_command(node.name, ["sh", "-ec", script])) for node in testnet.nodes]
        for (name, _words), done in zip(
            asked, pool.map(lambda one: tools.run(one[1], timeout=PREPARE_SECONDS), asked), strict=True
        ):
            if done.returncode:
                said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
                raise SetupError(
                    f"cluster.prepare ended with {done.returncode} on {name}: {cut(said[-1], 200) if said else 'no word'}"
                )


def refuse(request: Request, provider: Provider | None = None) -> None:
    """Raise UsageError where `up` would, before anything is made: a request that makes no sense, or a name that is taken."""
    request.check()
    provider = provider or Podman()
    provider.check()
    _refuse_if_used(request.name, provider)


def _keep_journals(name: str, provider: Provider, say: Say) -> None:
    """Keep what the nodes wrote, which is all that can tell later why they failed."""
    kept = []
    for node in of(name, provider.nodes()):
        path = home() / "logs" / f"{node.name}.log"
        with suppress(NodewiseError, OSError):  # it must not hide why `up` failed
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(tools.run(provider.journal_command(node.name, ["--no-pager"]), timeout=JOURNAL_SECONDS).stdout)
            kept.append(path)
    if kept:
        say(f"the nodes' journals are in {kept[0].parent}: {', '.join(path.name for path in kept)}")


def down(name: str, provider: Provider | None = None) -> int:
    """Remove a testnet, whole or half-made; return how many things of it were found: 0 when there was nothing."""
    state.check_name(name)
    provider = provider or Podman()
    provider.check()
    with locked(f"testnet-{name}", wait=BUSY_SECONDS):
        provider.settle(name)
        other = next(filter(None, map(foreign, _traces(name, provider))), None)
        if other:
            hint = f"Remove it with: NODEWISE_HOME={other} testnet down --name {name}"
            raise UsageError(f"testnet {name} was made from {other}, not from {home()}.\n{hint}")
        return _remove(name, provider)


def power(
    testnet: Testnet, nodes: Sequence[Node], *, off: bool, on: bool, kill: bool = False, provider: Provider | None = None
) -> None:
    """Shut nodes down (or end them at once), start them, or both; returns when those that are on answer over SSH. SetupError."""
    provider = provider or Podman()
    provider.check()
    names = [node.name for node in nodes]
    with locked(f"testnet-{testnet.name}"):
        if off:
            provider.stop_nodes(names, kill=kill)
        ssh.close(testnet.name, [node.address for node in nodes])  # a connection to a node that is off would be waited for
        if on:
            provider.start_nodes(names)
            deadline = time.monotonic() + START_SECONDS
            for node in nodes:
                ssh.wait_reachable(testnet, node, deadline, threading.Event())


def of(name: str, things: Sequence[Thing]) -> list[Thing]:
    """Those containers or networks that belong to the testnet."""
    return [thing for thing in things if thing.labels.get(LABEL_TESTNET) == name]


def foreign(labels: Mapping[str, str]) -> str | None:
    """The home that made what has these labels, when that is another than ours and still there."""
    other = labels.get(LABEL_HOME)
    return other if other and other != str(home()) and _may_be_there(Path(other)) else None


def _may_be_there(home: Path) -> bool:
    """Whether a folder is there, or lies where another user does not let us look: unknown is not gone."""
    try:
        return home.is_dir()
    except PermissionError:
        return True


def _traces(name: str, provider: Provider) -> list[Mapping[str, str]]:
    """The labels of all that the provider has of a testnet."""
    networks = [network.labels for network in of(name, provider.networks())]
    return networks + [node.labels for node in of(name, provider.nodes())]


def _refuse_if_used(name: str, provider: Provider) -> None:
    traces = _traces(name, provider)
    if not traces and not state_folder(name).exists():
        return
    other = next(filter(None, map(foreign, traces)), None)
    if other:
        raise UsageError(f"a testnet named {name} exists, made from {other}; choose another name with --name")
    known = state.find(name)
    what = f"{len(known.nodes)} nodes" if known and known.status == "up" else "half-made"
    raise UsageError(f"a testnet named {name} exists ({what}); choose another name with --name, or: testnet down --name {name}")


def _remove(name: str, provider: Provider) -> int:
    """Remove all of a testnet; its state goes last, so that a second `down` still knows what a killed one left."""
    ssh.close(name)
    nodes = of(name, provider.nodes())
    provider.remove_nodes([node.name for node in nodes])
    networks = of(name, provider.networks())
    for network in networks:
        provider.remove_network(network.name)
    folders = [path for path in (ssh.control_dir(name), state_folder(name)) if path.exists()]
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
    return len(nodes) + len(networks) + len(folders)
