# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The `testnet` command: its groups of commands, and how errors reach the user."""

from __future__ import annotations

import sys

import click

from nodewise import __version__
from nodewise.cli import bench, lifecycle, look, run, smoke
from nodewise.errors import NodewiseError

COMMANDS = [
    lifecycle.up,
    lifecycle.down,
    lifecycle.image,
    look.list_,
    look.status,
    look.ssh,
    look.exec_,
    look.logs,
    look.inventory,
    run.run,
    run.check,
    smoke.smoke,
    bench.bench,
]


class OneLineErrors(click.Group):
    """A group whose errors are the one or two lines that they carry, never a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """In the order of COMMANDS: that of use."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an error of ours is printed and its code is the command's."""
        try:
            return super().invoke(ctx)
        except NodewiseError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="testnet")
def main() -> None:
    """Local testnets: clusters of systemd nodes as containers, for rehearsing what is then done in production.

    \b
    testnet up --nodes 3                                   three empty nodes: dev-n1 dev-n2 dev-n3
    testnet up --nodes 3 --system etcd --version 3.4.23    a healthy cluster on them
    testnet exec n1 -- systemctl is-system-running         run a command on a node
    ansible -m ping dev                                    every playbook sees the testnets that are up
    testnet down                                           remove it and all that it left

    Exit codes: 0 done, 1 a promise was broken, 2 bad input (nothing was touched), 3 unknown, 4 the setup failed.
    """


for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
