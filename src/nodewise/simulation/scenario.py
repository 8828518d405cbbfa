# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scenario, as a file of `scenarios/` says it: a cluster, a workload, an upgrade, and who judges."""

from __future__ import annotations

import random
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from nodewise.errors import SetupError, UsageError
from nodewise.fields import explained
from nodewise.model import Outcome
from nodewise.simulation.checkers.registry import CHECKERS
from nodewise.simulation.hosts import on_paper
from nodewise.simulation.preconditions import HOLDS, Precondition
from nodewise.simulation.schedule import Event, plan, refuse_unfit
from nodewise.simulation.workloads.program import words
from nodewise.simulation.workloads.registry import workload_named, workloads_known
from nodewise.systems import catalog
from nodewise.testnet import provision
from nodewise.testnet.home import checkout
from nodewise.testnet.request import Request
from nodewise.text import nearest

Count = Annotated[int, msgspec.Meta(ge=1)]
Some = Annotated[int, msgspec.Meta(ge=0)]
More = Annotated[float, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class ClusterSpec(msgspec.Struct, forbid_unknown_fields=True):
    """The cluster to begin with."""

    system: str  # a system that Nodewise has a role for, or the FQCN of a role of your own
    version: str = ""  # what the system's role says, unless it is said
    nodes: Count = 3  # members of it
    volume: Some = 0  # MiB of made-up data in it, beside a small set of many kinds
    domains: list[str] = []  # failure domains, dealt out to the members in their order
    variables: dict[str, Any] = {}  # of its inventory group, such as nodewise_patroni_version
    vars: str = (
        ""  # a file with more of them, beside the scenario, as testnet up --vars takes it: a service that nodewise_app describes
    )
    # a script beside the scenario, run as root on each node before the cluster is provisioned: a database, say
    prepare: str = ""


class UpgradeSpec(msgspec.Struct, forbid_unknown_fields=True):
    """What it is upgraded to, while the workload runs."""

    to: str  # a version
    component: str = ""  # what of the system is upgraded, where it is not the system itself
    approve: Literal["any", "none"] = "any"  # none: it pauses before its point of no return, with members of both versions
    linger: Seconds = 0.0  # seconds of work after it has ended, in which a fault may begin (step: linger)
    then: Literal["upgrade", "rollback"] | None = (
        None  # what is run after that: the way on, or the way back; it has to come to its end
    )
    # outcomes of a run that does what it should: rolled_back, where a fault is to be noticed
    ends: list[Outcome] = msgspec.field(default_factory=lambda: ["upgraded"])


class WorkloadSpec(msgspec.Struct, forbid_unknown_fields=True):
    """Clients at work."""

    name: str = "register"  # what they do: one of the table below
    command: str = ""  # a program that performs the operations instead of Nodewise's client, from the folder of the scenario
    clients: Count = 6  # at once, each with a node that it goes to first
    keys: Count = 30  # registers, lists or accounts, whichever the workload is about
    rate: More = 200.0  # operations a second, of all clients together
    loop: Literal["closed", "open"] = "closed"  # open: what a slow cluster delayed is made up for, and counts as late
    warmup: Seconds = 1.0  # seconds of work before anything happens, and after all has


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """Asked once every fault is healed: whether clients get on, and every member answers."""

    operations: Count = 50  # that have to be acknowledged
    within: Seconds = 60.0  # seconds


class Scenario(msgspec.Struct, forbid_unknown_fields=True):
    """A file of `scenarios/`."""

    name: str  # as its file
    cluster: ClusterSpec
    seed: int | Literal["auto"] = "auto"  # everything that is left open is drawn from it; auto: a new one, printed first
    # what has to hold before anything begins; where it does not, the exit code is 4, and there is no verdict
    preconditions: list[Precondition] = msgspec.field(default_factory=lambda: list(HOLDS))
    workload: WorkloadSpec = msgspec.field(default_factory=WorkloadSpec)
    upgrade: UpgradeSpec | None = None
    faults: list[dict[str, Any]] = []  # see Faults
    max_down: Some | None = None  # members that faults may take away at once; a majority has to be left, unless it is said
    coverage: Some = 20  # operations that must end while a fault is in effect, for it to count
    progress: Progress = msgspec.field(default_factory=Progress)
    timeout: More = 3600.0  # seconds for all that happens on the cluster; what is not over then is ended, and not judged
    safety: list[str] = []  # checkers of the history; those of the workload, unless it is said

    def on(self, nodes: int | None, system: str | None, version: str | None) -> Scenario:
        """The same on another cluster, where one is asked for; one of another system keeps what it acknowledged.

        Raises UsageError, and SetupError where it does not apply to that other system.
        """
        given: dict[str, Any] = {"nodes": nodes, "system": system, "version": version}
        other = bool(system) and system != self.cluster.system
        if system and other:
            durable = dict(catalog.durable(system, {}))
            if self.upgrade:
                raise SetupError(f"{self.name} does not apply to {system}: it upgrades {self.cluster.system} to {self.upgrade.to}")
            given |= {"version": version or "", "variables": durable}
        changed = {key: value for key, value in given.items() if value is not None}
        found = msgspec.structs.replace(self, cluster=msgspec.structs.replace(self.cluster, **changed))
        try:
            return found.checked().fit()
        except UsageError as error:
            if other:
                raise SetupError(f"{self.name} does not apply to {system}: {error}") from error
            raise

    def checked(self) -> Scenario:
        """Itself, where its system can do what its workload asks for, and knows what it is upgraded to. Raises UsageError."""
        if self.upgrade and not self.upgrade.component:
            provision.check(self.cluster.system, self.upgrade.to)
        name, can = self.workload.name, catalog.operations(self.cluster.system, self.cluster.variables)
        if self.cluster.volume and "write" not in can:
            raise UsageError(f"cluster.volume: {self.cluster.volume} MiB of data, and {self.cluster.system} has no write")
        if self.workload.command:
            return self
        if lacks := sorted(workload_named(name).asks - can):
            fit = ", ".join(known for known, one in workloads_known().items() if one.asks <= can)
            raise UsageError(f"{self.cluster.system} has no {', '.join(lacks)}, which workload {name} asks for; it can do: {fit}")
        return self

    def drawn(self, seed: int | None) -> int:
        """The seed of a run: the one given, the scenario's own, or a new one."""
        if seed is not None:
            return seed
        return self.seed if isinstance(self.seed, int) else random.SystemRandom().randrange(2**31)

    def events(self, seed: int) -> list[Event]:
        """The faults with all that is left open drawn from the seed. Raises UsageError, also for what the system cannot do."""
        events = plan(self.faults, self.cluster.nodes, seed, self.max_down)
        for event in events:
            if lacks := self._lacks(event.fault["step"]):
                raise UsageError(f"{event.id} waits for step {event.fault['step']}, and the scenario has no {lacks}")
        refuse_unfit(
            events,
            on_paper(self.cluster.system, self.cluster.variables, [f"n{number}" for number in range(1, self.cluster.nodes + 1)]),
        )
        return events

    def _lacks(self, step: str) -> str:
        """The field without which this step never begins; empty where it may."""
        if step and not self.upgrade:
            return "upgrade"
        return "upgrade.then" if step == "linger" and self.upgrade and not self.upgrade.then else ""

    def fit(self) -> Scenario:
        """Itself, where its faults can be done to its cluster, whatever is drawn. Raises UsageError."""
        Request(nodes=self.cluster.nodes).check()
        self.events(0)
        return self


def load(word: str) -> Scenario:
    """A scenario by the name of its file in `scenarios/`, or by a path. Raises UsageError."""
    path = Path(word) if word.endswith((".yml", ".yaml")) else checkout() / "scenarios" / f"{word}.yml"
    if not path.exists():
        names = sorted(p.stem for p in (checkout() / "scenarios").glob("*.yml"))
        known = f"no scenario {word!r}{nearest(word, names)}; there are: {', '.join(names)}"
        raise UsageError(f"{known}. A file of your own is named by its path, ending in .yml")
    try:
        scenario = msgspec.convert(yaml.safe_load(path.read_text()), Scenario)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is no scenario: {explained(error, Scenario)}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    workload = workload_named(scenario.workload.name)
    if unknown := [name for name in scenario.safety if name not in CHECKERS]:
        raise UsageError(f"{path}: no checker {unknown[0]!r}{nearest(unknown[0], CHECKERS)}; there are: {', '.join(CHECKERS)}")
    _take_in(scenario.cluster, path)
    if scenario.workload.command:
        scenario.workload.command = shlex.join(words(scenario.workload.command, path.parent))
    return msgspec.structs.replace(scenario, safety=scenario.safety or list(workload.checkers))


def _take_in(cluster: ClusterSpec, path: Path) -> None:
    """Put the files that a cluster names into it, so that the scenario is whole. Raises UsageError."""
    if cluster.prepare and "\n" not in cluster.prepare:  # else it is the script itself, as a record has it
        file = path.parent / cluster.prepare
        try:
            cluster.prepare = f"{file.read_text()}\n"
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cluster.prepare: {file} cannot be read: {error}") from error
    if not cluster.vars:
        return
    file = path.parent / cluster.vars
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cluster.vars: {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: cluster.vars: {file} is {type(found).__name__}; expected variables, by name")
    cluster.version = cluster.version or str(found.get("nodewise_version", ""))
    cluster.variables, cluster.vars = {**found, **cluster.variables}, ""
