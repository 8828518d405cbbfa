# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Performing smaller and smaller scenarios on one testnet, and keeping the smallest that fails as a regression."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from nodewise import files
from nodewise.errors import NodewiseError, UsageError
from nodewise.record.run import Run
from nodewise.simulation.disturb import heal_all
from nodewise.simulation.harness import Rehearsal, clients_of, request
from nodewise.simulation.hosts import scene_of
from nodewise.simulation.scenario import Scenario
from nodewise.testnet import lifecycle
from nodewise.testnet.home import checkout
from nodewise.testnet.state import Testnet
from nodewise.views.live import View

HEAD = "# SPDX-FileCopyrightText: Nodewise contributors\n# SPDX-License-Identifier: GPL-3.0-or-later\n"


def broken(summary: dict[str, Any]) -> dict[str, str]:
    """The checkers that said invalid, and what each said."""
    return {one["checker"]: one["says"] for one in summary.get("checkers", []) if one["verdict"] == "invalid"}


def failure(run: Run) -> dict[str, str]:
    """How a run failed. Raises UsageError for one that broke no promise: there is nothing to keep of it."""
    said = run.read_json("summary.json")
    if not (found := broken(said)):
        raise UsageError(f"{run.folder} broke no promise ({said.get('verdict', 'it was not judged')}): nothing to shrink")
    return found


@dataclass
class Tries:
    """Runs of scenarios on one testnet, healed between them, and made anew only for another cluster, or after an upgrade.

    One counts as failed when it was invalid by one of `checkers` in at least `least` of `times` runs.
    """

    name: str
    checkers: set[str]
    say: Callable[[str], None]
    times: int = 1
    least: int = 1
    runs: int = 0
    says: dict[str, str] = field(default_factory=dict)  # what the checkers said last
    _net: Testnet | None = None
    _made_for: Scenario | None = None

    def fails(self, scenario: Scenario) -> bool:
        """Whether a scenario fails as before; no more runs than it takes to tell."""
        failed = 0
        for number in range(self.times):
            failed += self.once(scenario)
            if failed >= self.least or failed + self.times - number - 1 < self.least:
                break
        self.say(
            f"{len(scenario.faults)} faults, {scenario.workload.clients} clients: {'fails' if failed >= self.least else 'holds'}"
        )
        return failed >= self.least

    def once(self, scenario: Scenario) -> bool:
        """Perform it once; what cannot be judged has not failed."""
        self.runs += 1
        try:
            rehearsal = Rehearsal(scenario, self.name)
            net = self._cluster(scenario, rehearsal)
            with View([node.name for node in net.nodes], io.StringIO(), tty=False) as nobody:
                found = broken(rehearsal.perform(net, nobody))
        except NodewiseError as error:
            self.say(f"could not be judged: {error}")
            self.close()
            return False
        if found.keys() & self.checkers:
            self.says = {name: said for name, said in found.items() if name in self.checkers}
        return bool(found.keys() & self.checkers)

    def close(self) -> None:
        """Remove the testnet."""
        if self._net:
            lifecycle.down(self.name)
        self._net = None

    def _cluster(self, scenario: Scenario, rehearsal: Rehearsal) -> Testnet:
        """The cluster, as it was made but for the keys of earlier runs, which have names of their own."""
        before, self._made_for = self._made_for, scenario
        if self._net and before and before.cluster == scenario.cluster and not before.upgrade:
            heal_all(scene_of(self._net, clients_of(self._net)))
            return self._net
        self.close()
        lifecycle.refuse(request(scenario, self.name))
        self._net = rehearsal.up(self.say)
        return self._net


def within(seconds: float) -> Callable[[], bool]:
    """Whether so much time has passed."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def keep(scenario: Scenario, says: dict[str, str], failed: int, times: int, folder: Path | None = None) -> Path:
    """Write the scenario to a folder, or to scenarios/regressions, with the sentence that says what it shows."""
    name = f"{scenario.name}-{scenario.seed}"
    path = (folder or checkout() / "scenarios" / "regressions") / f"{name}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    shows = "; ".join(f"{checker} is invalid, {said}" for checker, said in says.items())
    fields = msgspec.to_builtins(msgspec.structs.replace(scenario, name=name))
    text = yaml.safe_dump({key: value for key, value in fields.items() if value not in (None, [])}, sort_keys=False, width=130)
    files.write(path, f"{HEAD}\n# It shows, in {failed} of {times} runs: {shows}\n{text}")
    return path
