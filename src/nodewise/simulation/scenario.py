# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scenario, as a file of `scenarios/` says it: a cluster, a workload, an upgrade, and who judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from nodewise.errors import UsageError
from nodewise.simulation.checkers.registry import CHECKERS
from nodewise.testnet.home import checkout


class ClusterSpec(msgspec.Struct, forbid_unknown_fields=True):
    """The cluster to begin with. `variables` are those of its inventory group, such as nodewise_patroni_version."""

    system: str
    version: str
    nodes: int = 3
    variables: dict[str, Any] = {}


class UpgradeSpec(msgspec.Struct, forbid_unknown_fields=True):
    """What it is upgraded to, while the workload runs: the system, or one of its components."""

    to: str
    component: str = ""


class WorkloadSpec(msgspec.Struct, forbid_unknown_fields=True):
    """Clients at work: how many, on how many registers, with how many operations a second in all."""

    name: Literal["register"] = "register"
    clients: int = 6
    keys: int = 30
    rate: float = 200.0
    warmup: float = 1.0  # seconds of work before the upgrade begins, and after it has ended


class Scenario(msgspec.Struct, forbid_unknown_fields=True):
    """A file of `scenarios/`. `safety` names the checkers that judge the history."""

    name: str
    cluster: ClusterSpec
    seed: int | Literal["auto"] = "auto"
    upgrade: UpgradeSpec | None = None
    workload: WorkloadSpec = msgspec.field(default_factory=WorkloadSpec)
    safety: list[str] = msgspec.field(default_factory=lambda: list(CHECKERS))


def load(word: str) -> Scenario:
    """A scenario by the name of its file in `scenarios/`, or by a path. Raises UsageError."""
    path = Path(word) if word.endswith((".yml", ".yaml")) else checkout() / "scenarios" / f"{word}.yml"
    if not path.exists():
        names = ", ".join(sorted(p.stem for p in (checkout() / "scenarios").glob("*.yml")))
        raise UsageError(f"no scenario {word!r}; there are: {names}. A file of your own is named by its path, ending in .yml")
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), Scenario)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is no scenario: {str(error).splitlines()[0]}") from error
