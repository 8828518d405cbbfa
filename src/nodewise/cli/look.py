# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`testnet list`, `status`, `ssh`, `exec`, `logs` and `inventory`: looking at testnets and into nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import NoReturn

import click

one_name = click.option("--name", help="The testnet, where several are up.")
as_json = click.option("--json", "json_", is_flag=True, help="As JSON, for programs.")


@click.command("list")
@as_json
def list_(json_: bool) -> None:
    """List all testnets of this machine, whole or half-made."""
    from nodewise.testnet import overview

    if json_:
        click.echo(json.dumps([asdict(known) for known in overview.everything()], indent=2))
        return
    rows = [["NAME", "NODES", "STATE", "SUBNET", "SYSTEM", "MADE FROM"]]
    rows += [[k.name, k.nodes, k.state, k.subnet, k.system, k.elsewhere or "here"] for k in overview.everything()]
    _table(rows) if len(rows) > 1 else click.echo("no testnets; make one with: testnet up --nodes 3", err=True)


@click.command()
@one_name
@as_json
def status(name: str | None, json_: bool) -> None:
    """Show the nodes of the testnets that are up: container, SSH, failed units, what is installed.

    Exit code 1 if a node is not as it should be.
    """
    from nodewise.testnet import overview
    from nodewise.testnet.state import load, ups

    reports = [report for testnet in ([load(name)] if name else ups()) for report in overview.nodes(testnet)]
    rows = [["NODE", "ADDRESS", "CONTAINER", "SSH", "FAILED UNITS", "INSTALLED"]]
    rows += [[r.name, r.address, r.container, r.ssh, r.failed_units, r.installed] for r in reports]
    if json_:
        click.echo(json.dumps([{**asdict(report), "ok": report.ok} for report in reports], indent=2))
    elif reports:
        _table(rows)
    else:
        click.echo("no testnets; make one with: testnet up --nodes 3", err=True)
    if not all(report.ok for report in reports):
        sys.exit(1)


@click.command()
@click.argument("node")
@one_name
def ssh(node: str, name: str | None) -> NoReturn:
    """Log in on a node, as the user nodewise, who may use sudo.

    \b
    testnet ssh n1
    testnet ssh lab-n2
    """
    from nodewise.testnet import ssh as connection
    from nodewise.testnet.overview import find_node

    testnet, found = find_node(node, name)
    _become(connection.command(testnet, found))


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@one_name
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(node: str, command: tuple[str, ...], name: str | None) -> NoReturn:
    """Run a command on a node, over SSH, and end with its exit code (255: no connection).

    One word is a line for the node's shell; several reach the program as they are.

    \b
    testnet exec n1 -- ping -c 1 dev-n2
    testnet exec n1 -- sudo systemctl restart etcd
    testnet exec n1 -- 'cat /etc/os-release | head -1'
    """
    from nodewise.testnet import ssh as connection
    from nodewise.testnet.overview import find_node

    testnet, found = find_node(node, name)
    words = command[1:] if command[0] == "--" else command
    if command[0].startswith("--") and command[0] != "--":
        raise click.UsageError(f"options come before the node: testnet exec --name dev {node} -- ...")
    _become(connection.command(testnet, found, words))


@click.command()
@click.argument("node")
@one_name
@click.option("--unit", "-u", help="Only this unit, such as etcd.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--lines", type=int, help="Only the last lines.")
def logs(node: str, name: str | None, unit: str | None, follow: bool, lines: int | None) -> None:
    """Print a node's journal. Works past SSH, so also for a node that is cut off, and for one that is off.

    \b
    testnet logs n1 -u etcd -f
    testnet logs n2 --lines 50
    """
    from nodewise.testnet.overview import find_node
    from nodewise.testnet.podman import Podman

    _, found = find_node(node, name)
    words = ["--no-pager"]
    words += ["--unit", unit] if unit else []
    words += ["--follow"] if follow else []
    words += ["--lines", str(lines)] if lines else []
    sys.exit(subprocess.run(Podman().journal_command(found.name, words), check=False).returncode)


@click.command()
@one_name
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def inventory(name: str | None, form: str) -> None:
    """Print the inventory of the testnets that are up, as Ansible reads it from a file.

    \b
    testnet inventory > my-inventory.yml
    """
    from nodewise.testnet.inventory import tree
    from nodewise.testnet.state import load, ups

    groups = tree([load(name)] if name else ups())
    if form == "json":
        click.echo(json.dumps(groups, indent=2))
        return
    import yaml

    click.echo(yaml.safe_dump(groups, sort_keys=False, width=1000), nl=False)


def _become(words: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execvp(words[0], words)  # noqa: S606  (a list of words; no shell is wanted)


def _table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
