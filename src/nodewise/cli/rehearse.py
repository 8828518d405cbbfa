# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rehearsal shows: where it is, the live view, and the last lines."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from nodewise.errors import NodewiseError
from nodewise.files import nearby
from nodewise.simulation.again import command
from nodewise.simulation.disturb import heal_all
from nodewise.simulation.harness import Rehearsal, clients_of, exit_code, request
from nodewise.simulation.hosts import scene_of
from nodewise.simulation.scenario import Scenario
from nodewise.simulation.schedule import lines
from nodewise.testnet import lifecycle
from nodewise.testnet.home import checkout
from nodewise.testnet.interrupt import interruptible
from nodewise.testnet.state import Testnet, load, ups
from nodewise.views.live import View
from nodewise.views.summary import ending, fitted
from nodewise.views.working import working


def rehearse(scenario: Scenario, keep: bool, name: str, seed: int | None, leader: str | None = None) -> int:
    """Run a scenario; the testnet is removed afterwards unless `keep`, also on Ctrl-C and SIGTERM. Returns the exit code.

    The last line of a run that failed is the command that performs it again.
    """
    lifecycle.refuse(request(scenario, name))
    return rehearsed(Rehearsal(scenario, name, seed=seed, leader=leader), keep)


def rehearsed(rehearsal: Rehearsal, keep: bool) -> int:
    """Make its testnet and perform it, whatever comes of it. Returns the exit code."""
    try:
        with interruptible():
            code = _rehearse(rehearsal, keep)
    except NodewiseError as error:
        click.echo(f"error: {error}", err=True)
        code = error.exit_code
    if code:
        click.echo(f"perform it again: {command(nearby(rehearsal.run.folder))}")
    return code


def _rehearse(rehearsal: Rehearsal, keep: bool) -> int:
    began = time.monotonic()
    announce(rehearsal)
    with working(err=False) as say:
        net = rehearsal.up(lambda text: say(f"  {text}"))
    try:
        click.echo(f"  {', '.join(node.name for node in net.nodes)} serve after {time.monotonic() - began:.1f} s")
        return performed(rehearsal, net)
    finally:
        farewell(rehearsal.name, keep)


def announce(rehearsal: Rehearsal) -> None:
    """Say what is about to happen: seed, record, plan of faults, testnet."""
    scenario, cluster = rehearsal.scenario, rehearsal.scenario.cluster
    click.echo(f"{scenario.name}, seed {rehearsal.seed}\nrecord {nearby(rehearsal.run.folder)}")
    for line in lines(rehearsal.events):
        click.echo(f"  {line}")
    click.echo(f"a testnet of {cluster.nodes} nodes with {cluster.system} {cluster.version}".rstrip())


def performed(rehearsal: Rehearsal, net: Testnet) -> int:
    """Perform it on a testnet, with the live view, and say how it ended. Returns the exit code."""
    scenario = rehearsal.scenario
    about: dict[str, Any] = {} if scenario.upgrade else {"phases": (), "title": f"{scenario.name} on {rehearsal.name}"}
    with View([node.name for node in net.nodes], sys.stdout, sys.stdout.isatty(), **about) as show:
        said = rehearsal.perform(net, show)
    outcome, *rest = ending(said, rehearsal.run.folder)
    told = rest if scenario.upgrade else [outcome, *rest]  # of an upgrade the view has told it
    click.echo("\n".join(fitted(told, sys.stdout)))
    return exit_code(said, scenario.upgrade.ends) if scenario.upgrade else exit_code(said)


def planned(scenario: Scenario, seed: int | None) -> list[str]:
    """What a seed makes of a scenario, as the lines of a plan."""
    drawn = scenario.drawn(seed)
    return [f"{scenario.name}, seed {drawn}", *(lines(scenario.events(drawn)) or ["it has no faults"])]


def healed(name: str | None) -> list[str]:
    """Undo what nodes hold, of one testnet or of all that are up; a line a node that held something."""
    told = []
    for net in [load(name)] if name else ups():
        scene = scene_of(net, clients_of(net) if net.system else None)
        told += [f"{node}: {', '.join(names)} healed" for node, names in heal_all(scene).items() if names]
    return told or ["no node holds a fault"]


def farewell(name: str, keep: bool) -> None:
    """Remove the testnet, or say how to look at it and how to remove it."""
    if not keep:
        lifecycle.down(name)
        return
    programs = nearby(Path(sys.executable).parent)
    here = Path.cwd() == checkout()
    playbook = "playbooks/status.yml" if here else f"-i {checkout()}/inventories/testnet nodewise.cluster.status"
    click.echo(f"\nThe cluster is up:\n  {programs}/testnet status --name {name}\n  {programs}/testnet ssh n1 --name {name}")
    click.echo(f"  NODEWISE_TESTNET={name} {programs}/ansible-playbook {playbook}")
    click.echo(f"Remove it with:\n  {programs}/testnet down --name {name}")
