# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`nodewise app`: a description is begun, and checked, without a host."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("app")
def command() -> None:
    r"""Services of your own, described by YAML alone.

    \b
    nodewise app init greeter                           an example that works as it is
    nodewise app lint greeter/greeter.yml               what is wrong in a description
    testnet up --nodes 3 --vars greeter/greeter.yml     run it on a testnet

    The fields are in docs/app.md.
    """


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def lint(file: Path) -> None:
    """Check a description, without a host.

    FILE is a file of variables, an inventory, or nodewise_app alone. What Ansible would fill in is taken for right.

    Exit codes: 0 nothing is wrong, 2 something is: a line for each thing, with its path.
    """
    from nodewise.systems.app.lint import lint as check

    app = check(file)
    click.echo(f"{file}: {app.name} is described")


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    r"""Write an example with comments to FOLDER: a small HTTP service in two releases.

    \b
    nodewise app init greeter
    testnet up --nodes 3 --vars greeter/greeter.yml
    ansible-playbook playbooks/upgrade.yml -e nodewise_cluster=dev -e nodewise_to=1.1.0
    """
    from nodewise.systems.app.example import write

    file = write(folder)
    click.echo(f"wrote {file} and the two releases that it describes; to try it:\n  testnet up --nodes 3 --vars {file}")
