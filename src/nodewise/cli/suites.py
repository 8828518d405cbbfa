# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Suites on a testnet: run by the playbook that production has, followed, and told."""

from __future__ import annotations

from typing import Any

import click

from nodewise.errors import SetupError, UsageError
from nodewise.files import nearby
from nodewise.record.run import Run, new_folder, runs
from nodewise.simulation.playbook import follow
from nodewise.smoke.finish import finish, judged
from nodewise.smoke.report import lines
from nodewise.testnet.interrupt import interruptible
from nodewise.testnet.state import Testnet, load, ups
from nodewise.views.suites import Board


def run(wish: dict[str, Any], name: str | None) -> int:
    """Run suites on a testnet and show what they found; returns the exit code. Ctrl-C ends them, and shows what is known."""
    net = _testnet(name)
    made = Run(new_folder(runs(), "smoke", net.name))
    made.folder.mkdir(parents=True)
    with interruptible():
        try:
            with Board(made).shown():
                follow(
                    "playbooks/smoke.yml",
                    run_dir=made.folder,
                    variables={**wish, "nodewise_cluster": net.name},
                    environment={"NODEWISE_TESTNET": net.name, "NODEWISE_VIEW": "off"},
                    tick=lambda: None,
                )
        except KeyboardInterrupt:
            if made.journal.exists():
                finish(made, "interrupted")
                _table(made)
            raise
    return _told(made)


def _testnet(name: str | None) -> Testnet:
    """The testnet that is named, or the only one with a cluster on it."""
    chosen = [load(name)] if name else [one for one in ups() if one.system]
    if len(chosen) != 1:
        there = ", ".join(one.name for one in chosen) or "none"
        raise UsageError(
            f"testnets with a cluster on them: {there}; name one with --name, or make one: testnet up --system etcd --version V"
        )
    if not chosen[0].system:
        raise UsageError(f"testnet {chosen[0].name} has no cluster on it; make one with --system and --version")
    return chosen[0]


def _told(run: Run) -> int:
    outcome = run.outcome()
    if outcome is None or not (run.folder / "summary.json").exists():
        raise SetupError(f"ansible-playbook ended without an outcome; look into {run.folder}/ansible.log")
    if outcome[0] == "refused":
        raise UsageError(outcome[1])
    _table(run)
    return 0 if all(one.ok for one in judged(run)) else 1


def _table(run: Run) -> None:
    for one in judged(run):
        click.echo("\n".join(lines(one)))
    click.echo(f"record {nearby(run.folder)}")
