# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands `testnet`, for testnets, and `nodewise`, for everything else; and how errors reach the user."""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Iterator
from copy import copy
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from nodewise import __version__, renamed, systems
from nodewise.cli import again, bench, check, lifecycle, look, power, production, run, runs, scenario, smoke
from nodewise.errors import NodewiseError

ON_TESTNETS = [
    lifecycle.up,
    lifecycle.down,
    power.start,
    power.stop,
    power.restart,
    lifecycle.image,
    look.list_,
    look.status,
    look.ssh,
    look.exec_,
    look.logs,
    look.inventory,
    run.run,
    again.replay,
    again.shrink,
    scenario.scenario,
    run.heal,
    bench.bench,
]
EVERYWHERE = [runs.runs, smoke.smoke, check.check, production.rehearse]
SUGGESTED = re.compile(r"\.? \(?Did you mean (.*?)\)?$")  # how click ends a message
INTERRUPTED = 130  # exit code, as of a shell
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


class OneLineErrors(click.Group):
    """A group whose errors are the one or two lines that they carry, never a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """In the order of use."""
        return list(self.commands)

    def main(self, *args: Any, **more: Any) -> Any:
        """Run as a program; what click says of words that are off looks like our own errors."""
        program: Any = super().main  # click says by overloads when it returns
        if not more.pop("standalone_mode", True):
            return program(*args, standalone_mode=False, **more)
        try:
            code = program(*args, standalone_mode=False, **more)
        except click.exceptions.NoArgsIsHelpError as help_of:
            help_of.show()
            sys.exit(help_of.exit_code)
        except click.ClickException as error:
            said = SUGGESTED.sub(r" (did you mean \1)", " ".join(error.format_message().split()))
            where = error.ctx if isinstance(error, click.UsageError) else None
            help_ = f"; see {where.command_path} --help" if where else ""
            click.echo(f"error: {said[:1].lower()}{said[1:].rstrip('.')}{help_}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an error of ours is printed and its code is the command's."""
        try:
            return super().invoke(ctx)
        except NodewiseError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=OneLineErrors, context_settings=SETTINGS)
@click.version_option(__version__, prog_name="testnet")
def main() -> None:
    """Local testnets: clusters of systemd nodes as containers, for rehearsing what is then done in production.

    \b
    testnet up --nodes 3                                   three empty nodes: dev-n1 dev-n2 dev-n3
    testnet up --nodes 3 --system etcd --version 3.4.23    a healthy cluster on them
    testnet exec n1 -- systemctl is-system-running         run a command on a node
    testnet run rolling-upgrade                            upgrade a cluster under load, and judge it
    ansible -m ping dev                                    every playbook sees the testnets that are up
    testnet down                                           remove it and all that it left

    Exit codes: 0 done, 1 a promise was broken, 2 bad input (nothing was touched), 3 unknown, 4 the setup failed.
    """


@click.group(cls=OneLineErrors, context_settings=SETTINGS)
@click.version_option(__version__, prog_name="nodewise")
def nodewise() -> None:
    """What Nodewise did, and what it found. Clusters are upgraded by playbooks: ansible-playbook playbooks/upgrade.yml --check.

    \b
    nodewise runs                                          the records of runs, and how each ended
    nodewise smoke etcd --tier basic                       a smoke suite on a testnet, with a live view
    nodewise check runs/20260101-120000-rolling-upgrade-demo-1a2b    judge a recorded history again
    nodewise rehearse --plan runs/20260101-120000-upgrade-payments-1a2b    what production planned, on a testnet

    Exit codes: 0 done, 1 a promise was broken, 2 bad input (nothing was touched), 3 unknown, 4 the setup failed.
    """


def of_systems() -> Iterator[click.Command]:
    """The commands of systems that have some, each by the name of its system: a folder with a file `command.py`."""
    for one in pkgutil.iter_modules(systems.__path__):
        name = f"{systems.__name__}.{one.name}.command"
        if one.ispkg and find_spec(name):
            yield import_module(name).command


for command in ON_TESTNETS:
    main.add_command(command)
for command in (*EVERYWHERE, *of_systems()):
    nodewise.add_command(command)
for command in (smoke.smoke, check.check):  # they were commands of `testnet`
    old = copy(command)
    old.hidden, old.deprecated = True, f"It is nodewise {command.name} now; this name works until {renamed.UNTIL}."
    main.add_command(old)

if __name__ == "__main__":
    sys.exit(main())
