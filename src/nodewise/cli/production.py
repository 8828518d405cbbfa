# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`nodewise rehearse`: what production is about to do, on a testnet, with a record that production can ask for."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--plan", "run", required=True, type=click.Path(path_type=Path), metavar="RUN", help="The record of upgrade.yml --check."
)
@click.option(
    "--scenario", "names", multiple=True, metavar="NAME", help="Under its faults; several times.  [default: quiet, without]"
)
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", help="Where the record goes.  [default: runs/rehearsals]")
@click.option("--seed", type=int, help="Of the faults; a new one for each scenario, unless it is said.")
@click.option("--name", default="rehearse", show_default=True, help="Of the testnet that is made for it.")
def rehearse(run: Path, names: tuple[str, ...], to: Path | None, seed: int | None, name: str) -> None:
    """Rehearse the upgrade that RUN planned for a cluster in production, on a testnet of its size, and sign how it ended.

    The record names the release by a digest of its artifacts, path, steps, gates and shape. With nodewise_require_rehearsal: 7d in
    the inventory the upgrade is refused unless a valid record of the same release is that young. Production is not contacted.

    \b
    ansible-playbook playbooks/upgrade.yml -i production -e nodewise_to=3.5.16 --check
    nodewise rehearse --plan runs/20260101-120000-upgrade-payments-1a2b
    nodewise rehearse --plan runs/20260101-120000-upgrade-payments-1a2b --scenario quiet --scenario upgrade-under-kill

    Exit codes: 0 valid, 1 a promise was broken, 2 bad input, 3 unknown, 4 the setup failed.
    """
    from nodewise.cli.rehearse import rehearsed
    from nodewise.record import rehearsal
    from nodewise.record.run import runs
    from nodewise.simulation.harness import Rehearsal, request
    from nodewise.simulation.production import production, scenario_of, trial
    from nodewise.testnet import lifecycle

    plan, gaps, variables, volume = production(run)
    chosen = [scenario_of(plan, one, variables, volume) for one in names or ("quiet",)]
    lifecycle.refuse(request(chosen[0], name))
    key, codes, trials = rehearsal.own_key(rehearsal.key_file()), [], []
    for one in chosen:
        made = Rehearsal(one, name, seed=seed)
        codes.append(rehearsed(made, keep=False))
        ended, off = trial(plan, made.run, made.seed, one.name, codes[-1])
        trials.append(ended)
        gaps += off
    said = rehearsal.Rehearsed(
        rehearsal.digest(plan), rehearsal.now(), plan.system, plan.to, rehearsal.merged(trials), trials, [*dict.fromkeys(gaps)]
    )
    path = rehearsal.keep(rehearsal.sign(said, key), to or runs() / "rehearsals")
    click.echo(f"\nrelease {said.digest[:12]}: {said.verdict}, under {', '.join(one.scenario for one in trials)}")
    for gap in said.gaps:
        click.echo(f"  gap: {gap}")
    click.echo(f"record {path}\nsigned with {rehearsal.public(key)}")
    sys.exit({"valid": 0, "invalid": 1}.get(said.verdict, next((code for code in codes if code), 3)))
