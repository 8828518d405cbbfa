# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scenario, as a file of `scenarios/` says it: a cluster, a workload, an upgrade, and who judges."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from nodewise.errors import UsageError
from nodewise.model import Outcome
from nodewise.simulation.schedule import Event, plan
from nodewise.simulation.workloads.registry import workload_named
from nodewise.testnet.home import checkout
from nodewise.text import nearest


class ClusterSpec(msgspec.Struct, forbid_unknown_fields=True):
    """The cluster to begin with. `variables` are those of its inventory group, such as nodewise_patroni_version."""

    system: str
    version: str = ""  # what the system's role says, unless it is said
    nodes: int = 3
    variables: dict[str, Any] = {}


class UpgradeSpec(msgspec.Struct, forbid_unknown_fields=True):
    """What it is upgraded to, while the workload runs: the system, or one of its components."""

    to: str
    component: str = ""
    # outcomes of a run that does what it should: rolled_back, where a fault is to be noticed
    ends: list[Outcome] = msgspec.field(default_factory=lambda: ["upgraded"])


class WorkloadSpec(msgspec.Struct, forbid_unknown_fields=True):
    """Clients at work: at what (a file of simulation/workloads), how many, on how many keys, operations a second in all."""

    name: str = "register"
    clients: int = 6
    keys: int = 30
    rate: float = 200.0
    warmup: float = 1.0  # seconds of work before the upgrade begins, and after it has ended


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """Asked once every fault is healed: so many operations acknowledged, and every member answers, within so many seconds."""

    operations: int = 50
    within: float = 60.0


class Scenario(msgspec.Struct, forbid_unknown_fields=True):
    """A file of `scenarios/`."""

    name: str
    cluster: ClusterSpec
    seed: int | Literal["auto"] = "auto"
    upgrade: UpgradeSpec | None = None
    workload: WorkloadSpec = msgspec.field(default_factory=WorkloadSpec)
    faults: list[dict[str, Any]] = []  # docs/simulation.md has the kinds and their fields
    max_down: int | None = None  # members that faults may take away at once; a majority has to be left unless it is said
    coverage: int = 20  # operations that must end while a fault is in effect, for it to count
    progress: Progress = msgspec.field(default_factory=Progress)
    safety: list[str] = []  # checkers of the history; those of the workload, unless it is said

    def on(self, nodes: int | None, system: str | None, version: str | None) -> Scenario:
        """The same on another cluster, where one is asked for."""
        given = {"nodes": nodes, "system": system, "version": version}
        if system and system != self.cluster.system and not version:
            given["version"] = ""
        changed = {key: value for key, value in given.items() if value is not None}
        return msgspec.structs.replace(self, cluster=msgspec.structs.replace(self.cluster, **changed))

    def drawn(self, seed: int | None) -> int:
        """The seed of a run: the one given, the scenario's own, or a new one."""
        if seed is not None:
            return seed
        return self.seed if isinstance(self.seed, int) else random.SystemRandom().randrange(2**31)

    def events(self, seed: int) -> list[Event]:
        """The faults with all that is left open drawn from the seed. Raises UsageError."""
        return plan(self.faults, self.cluster.nodes, seed, self.max_down)


def load(word: str) -> Scenario:
    """A scenario by the name of its file in `scenarios/`, or by a path. Raises UsageError."""
    path = Path(word) if word.endswith((".yml", ".yaml")) else checkout() / "scenarios" / f"{word}.yml"
    if not path.exists():
        names = sorted(p.stem for p in (checkout() / "scenarios").glob("*.yml"))
        known = f"no scenario {word!r}{nearest(word, names)}; there are: {', '.join(names)}"
        raise UsageError(f"{known}. A file of your own is named by its path, ending in .yml")
    try:
        scenario = msgspec.convert(yaml.safe_load(path.read_text()), Scenario)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is no scenario: {str(error).splitlines()[0]}") from error
    workload = workload_named(scenario.workload.name)
    return msgspec.structs.replace(scenario, safety=scenario.safety or list(workload.checkers))
