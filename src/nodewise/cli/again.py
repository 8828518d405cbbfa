# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`testnet replay` and `testnet shrink`: a run again, and the smallest one that still fails."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--pin", is_flag=True, help="Have the recorded member lead before the first fault, or end with exit code 4.")
@click.option(
    "--times", type=click.IntRange(1), default=1, show_default=True, help="How often; how many failed is told in the end."
)
@click.option("--dry-run", is_flag=True, help="Print the plan of faults, and make nothing.")
@click.option("--keep", is_flag=True, help="Leave the cluster up afterwards and say how to look at it.")
@click.option("--name", default="demo", show_default=True, help="Of the testnet that is made for it.")
def replay(run: Path, name: str, times: int, *, pin: bool, dry_run: bool, keep: bool) -> None:
    """Perform the recorded RUN of a scenario again, with its seed and its faults at the same times.

    Roles such as leader are whoever has them now; with --pin the recorded member leads when the faults begin. On real hosts the
    plan is exact and the interleaving is not: --times tells at which rate a run fails.

    \b
    testnet replay runs/20260101-120000-leader-isolated-demo-1a2b
    testnet replay runs/20260101-120000-leader-isolated-demo-1a2b --pin --times 10

    Exit codes: as of testnet run; of several runs 1 if one was invalid, else that of the first that failed.
    """
    from nodewise.cli.rehearse import planned, rehearse
    from nodewise.errors import UsageError
    from nodewise.simulation.again import recorded

    found = recorded(run)
    if dry_run:
        click.echo("\n".join(planned(found.scenario, found.seed)))
        return
    if pin and not found.leader:
        raise UsageError(f"{run} does not say who led when its faults began: without --pin roles are whoever has them now")
    if keep and times > 1:
        raise UsageError("--keep and --times: expected one of them; each run has a testnet of its own")
    codes = [rehearse(found.scenario, keep, name, found.seed, found.leader if pin else None) for _ in range(times)]
    if times > 1:
        click.echo(rate(codes))
    sys.exit(1 if 1 in codes else next((code for code in codes if code), 0))


CONFIRMED = 3  # runs of the smallest scenario
WORDS = {0: "valid", 1: "invalid", 3: "unknown", 4: "never began"}  # exit codes of a run


def rate(codes: list[int]) -> str:
    """How many of several runs failed, and how."""
    told = [f"{codes.count(code)} {WORDS.get(code, f'exit code {code}')}" for code in sorted(set(codes))]
    return f"{sum(code != 0 for code in codes)} of {len(codes)} failed: {', '.join(told)}"


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--budget", type=click.FloatRange(1), default=10, show_default=True, metavar="MINUTES", help="After it, the smallest so far."
)
@click.option("--times", type=click.IntRange(1), default=1, show_default=True, help="How often each smaller scenario is tried.")
@click.option("--least", type=click.IntRange(1), default=1, show_default=True, help="How many of these must fail.")
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", help="Where it is kept.  [default: scenarios/regressions]")
@click.option("--name", default="shrink", show_default=True, help="Of the testnet that is made for it.")
def shrink(run: Path, name: str, budget: float, times: int, least: int, to: Path | None) -> None:
    """Make the failing RUN smaller as long as the same checker says invalid: fewer and shorter faults, clients, keys, nodes.

    All runs are on one testnet, which is healed between them. The smallest scenario is run three more times, and is kept
    with what it shows and how often.

    \b
    testnet shrink runs/20260101-120000-leader-isolated-demo-1a2b
    testnet shrink runs/20260101-120000-leader-isolated-demo-1a2b --times 3 --least 2 --budget 30

    Exit codes: 0 a smaller one was kept, 2 bad input, 3 it did not fail again, 4 the setup failed.
    """
    from nodewise.cli.lifecycle import say
    from nodewise.errors import UnknownResult, UsageError
    from nodewise.files import nearby
    from nodewise.record.run import Run
    from nodewise.simulation import regression
    from nodewise.simulation.again import recorded
    from nodewise.simulation.shrink import shrunk
    from nodewise.testnet.interrupt import interruptible

    if least > times:
        raise UsageError(f"--least {least} of --times {times}: expected no more than are tried")
    found = recorded(run)
    tries = regression.Tries(name, {*regression.failure(Run(run))}, say, times, least)
    with interruptible():
        try:
            over = regression.within(budget * 60)
            if not tries.fails(found.scenario):
                raise UnknownResult(
                    f"{run} did not fail again: nothing to go by. At which rate it fails: testnet replay {run} --times 10"
                )
            smallest = shrunk(found.scenario, tries.fails, over)
            failed = sum(tries.once(smallest) for _ in range(CONFIRMED))
        finally:
            tries.close()
    path = regression.keep(smallest, tries.says, failed, CONFIRMED, to)
    click.echo(
        f"{len(found.scenario.faults)} faults became {len(smallest.faults)}, in {tries.runs} runs; {failed} of {CONFIRMED} fail"
    )
    click.echo(f"run it: testnet run {nearby(path)}")
