# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`testnet run`, a whole rehearsal, and `testnet heal`."""

from __future__ import annotations

import sys
from typing import Any

import click


@click.command()
@click.argument("scenario")
@click.option("--nodes", "-n", type=int, help="How many nodes, instead of what the scenario says.")
@click.option("--system", metavar="NAME", help="Of which system, instead of what the scenario says.")
@click.option("--version", metavar="V", help="Of which version, instead of what the scenario says.")
@click.option("--dry-run", is_flag=True, help="Print the plan of faults that the seed gives, and make nothing.")
@click.option("--keep", is_flag=True, help="Leave the cluster up afterwards and say how to look at it.")
@click.option("--name", default="demo", show_default=True, help="Of the testnet that is made for it.")
@click.option("--seed", type=int, help="Repeat a run: its seed is printed first and kept in its run.json.")
def run(scenario: str, name: str, seed: int | None, *, dry_run: bool, keep: bool, **cluster: Any) -> None:
    """Rehearse SCENARIO, a name in scenarios/ or a path, on a testnet of its own, and judge it.

    \b
    testnet run rolling-upgrade
    testnet run replication-under-partition --seed 4711 --dry-run
    testnet run rolling-upgrade --keep --name lab
    testnet run my/scenario.yml --nodes 5

    Exit codes: 0 every promise was kept, 1 one was broken, 2 bad input, 3 it could not be judged, 4 the setup failed.
    """
    from nodewise.cli.rehearse import planned, rehearse
    from nodewise.simulation import scenario as scenarios

    chosen = scenarios.load(scenario).on(**cluster)
    if dry_run:
        click.echo("\n".join(planned(chosen, seed)))
        return
    sys.exit(rehearse(chosen, keep, name, seed))


@click.command()
@click.option("--name", help="The testnet, where several are up.")
def heal(name: str | None) -> None:
    """Undo every fault that the nodes of a testnet hold, by the nodes' own records.

    Nodes heal by themselves when nobody renews a fault, within seconds; this does it now.

    \b
    testnet heal
    testnet heal --name lab
    """
    from nodewise.cli.rehearse import healed

    click.echo("\n".join(healed(name)))
