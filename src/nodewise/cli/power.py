# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`testnet start`, `stop` and `restart`: nodes off and on, with all that they have on their disks."""

from __future__ import annotations

from typing import Any

import click

nodes = click.argument("nodes", metavar="NODE...", nargs=-1, required=True)
one_name = click.option("--name", help="The testnet, where several are up.")
kill = click.option("--kill", is_flag=True, help="At once, without shutting down: as when the power goes.")


@click.command()
@nodes
@one_name
@kill
def stop(nodes: tuple[str, ...], name: str | None, kill: bool) -> None:
    """Shut nodes down. What is on their disks stays; start brings them back.

    \b
    testnet stop n1
    testnet stop --kill n1 n2
    """
    _power(nodes, name, off=True, on=False, kill=kill)


@click.command()
@nodes
@one_name
def start(nodes: tuple[str, ...], name: str | None) -> None:
    """Start nodes that were stopped, and wait until each is reachable over SSH.

    \b
    testnet start n1
    """
    _power(nodes, name, off=False, on=True)


@click.command()
@nodes
@one_name
@kill
def restart(nodes: tuple[str, ...], name: str | None, kill: bool) -> None:
    """Shut nodes down and start them again, all at once.

    \b
    testnet restart n1
    testnet restart --kill n1 n2 n3
    """
    _power(nodes, name, off=True, on=True, kill=kill)


def _power(words: tuple[str, ...], name: str | None, *, off: bool, on: bool, **how: Any) -> None:
    from nodewise.testnet import lifecycle
    from nodewise.testnet.overview import find_node

    found = [find_node(word, name) for word in words]  # all are known before one is touched
    for testnet in dict.fromkeys(testnet.name for testnet, _node in found):
        chosen = [(net, node) for net, node in found if net.name == testnet]
        lifecycle.power(chosen[0][0], [node for _net, node in chosen], off=off, on=on, **how)
    told = "restarted" if off and on else "stopped" if off else "started"
    click.echo(f"{', '.join(node.name for _testnet, node in found)}: {told}")
