# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`nodewise app`: a description is begun, and checked, without a host."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

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
@click.option("--sql", multiple=True, type=click.File(), help="SQL to lint as an expand: a file, or - for what is piped in.")
def lint(file: Path, sql: tuple[TextIO, ...]) -> None:
    r"""Check a description, without a host; and SQL of migrations, with --sql.

    FILE is a file of variables, an inventory, or nodewise_app alone. What Ansible would fill in is taken for right.

    \b
    alembic upgrade 1a2b:head --sql | nodewise app lint greeter.yml --sql -

    Exit codes: 0 nothing is wrong, 2 something is: a line for each thing, with its path.
    """
    from nodewise.systems.app.lint import lint as check

    app = check(file)
    if sql:
        from nodewise.systems.app.squawk import refuse

        refuse((one.name, one.read()) for one in sql)
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
