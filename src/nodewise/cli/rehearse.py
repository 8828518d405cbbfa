# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rehearsal shows: where it is, the live view, and the last lines."""

from __future__ import annotations

import sys
import time

import click

from nodewise.simulation import scenario as scenarios
from nodewise.simulation.harness import Rehearsal, exit_code
from nodewise.testnet import lifecycle
from nodewise.testnet.interrupt import interruptible
from nodewise.views.live import View
from nodewise.views.summary import ending


def rehearse(word: str, keep: bool, name: str, seed: int | None) -> int:
    """Run a scenario; the testnet is removed afterwards unless `keep`, also on Ctrl-C and SIGTERM. Returns the exit code."""
    with interruptible():
        return _rehearse(word, keep, name, seed)


def _rehearse(word: str, keep: bool, name: str, seed: int | None) -> int:
    rehearsal = Rehearsal(scenarios.load(word), name, seed=seed)
    began = time.monotonic()
    click.echo(f"{rehearsal.scenario.name}, seed {rehearsal.seed}, record {rehearsal.run.folder}")
    cluster = rehearsal.scenario.cluster
    click.echo(f"a testnet of {cluster.nodes} nodes with {cluster.system} {cluster.version}")
    net = rehearsal.up(lambda text: click.echo(f"  {text}"))
    try:
        click.echo(f"  {', '.join(node.name for node in net.nodes)} serve after {time.monotonic() - began:.1f} s")
        with View([node.name for node in net.nodes], sys.stdout, sys.stdout.isatty()) as show:
            said = rehearsal.perform(net, show)
        _outcome, *rest = ending(said, rehearsal.run.folder)  # the view has told the outcome
        click.echo("\n".join(rest))
        return exit_code(said)
    finally:
        farewell(name, keep)


def farewell(name: str, keep: bool) -> None:
    """Remove the testnet, or say how to look at it and how to remove it."""
    if not keep:
        lifecycle.down(name)
        return
    click.echo(f"\nThe cluster is up:\n  .venv/bin/testnet status --name {name}\n  .venv/bin/testnet ssh n1 --name {name}")
    click.echo(f"  NODEWISE_TESTNET={name} .venv/bin/ansible-playbook playbooks/status.yml")
    click.echo(f"Remove it with:\n  .venv/bin/testnet down --name {name}")
