# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`testnet run`: a whole rehearsal."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("scenario")
@click.option("--keep", is_flag=True, help="Leave the cluster up afterwards and say how to look at it.")
@click.option("--name", default="demo", show_default=True, help="Of the testnet that is made for it.")
@click.option("--seed", type=int, help="Repeat a run: its seed is printed first and kept in its run.json.")
def run(scenario: str, keep: bool, name: str, seed: int | None) -> None:
    """Rehearse SCENARIO, a name in scenarios/ or a path, on a testnet of its own, and judge it.

    \b
    testnet run rolling-upgrade
    testnet run rolling-upgrade --keep --name lab
    testnet run my/scenario.yml --seed 4711

    Exit codes: 0 every promise was kept, 1 one was broken, 2 bad input, 3 it could not be judged, 4 the setup failed.
    """
    from nodewise.cli.rehearse import rehearse

    sys.exit(rehearse(scenario, keep, name, seed))
