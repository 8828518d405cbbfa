# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`nodewise smoke`: suites of scripts on a testnet, while one looks on."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("suite", required=False)
@click.option("--tier", type=click.Choice(["core", "basic", "full", "stress"]), default="core", show_default=True,
              help="Scripts of this tier and of those before it.")  # fmt: skip
@click.option("--skip-slow", is_flag=True, help="Leave slow scripts out.")
@click.option("--parallel", is_flag=True, help="Run scripts of a host at once, where their suite allows it.")
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True, help="How many at once.")
@click.option("--extra-vars", "-e", "given", metavar="KEY=VALUE", multiple=True, help="A variable for Ansible; several times.")
@click.option("--name", help="The testnet, where several are up.")
def smoke(
    suite: str | None, tier: str, given: tuple[str, ...], *, skip_slow: bool, parallel: bool, workers: int, name: str | None
) -> None:
    """Run SUITE, a name or the path of a folder with a /, on a testnet; without it your own in suites/ and the system's.

    \b
    nodewise smoke
    nodewise smoke etcd --tier basic
    nodewise smoke ./my-scripts --name lab -e api_token=none

    Exit codes: 0 passed, 1 something failed or did not report, 2 bad input (nothing was run), 4 the setup failed.
    """
    from nodewise.cli.lifecycle import variables
    from nodewise.cli.suites import run

    wish = {
        **variables(given),
        "nodewise_tier": tier,
        "nodewise_skip_slow": skip_slow,
        "nodewise_parallel": parallel,
        "nodewise_workers": workers,
    }
    if suite:
        wish["nodewise_suite"] = [str(Path(suite).absolute()) if "/" in suite else suite]
    if Path("suites").is_dir():
        wish["nodewise_suites"] = [str(Path("suites").absolute())]  # ansible-playbook works elsewhere
    sys.exit(run(wish, name))
