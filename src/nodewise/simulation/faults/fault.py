# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every fault has: when it begins, how long it lasts, and how it is done, proved and healed."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from nodewise.errors import UsageError
from nodewise.fields import Named
from nodewise.simulation.faults.host import Scene

Holds = Literal["lease", "once", "whole", "controller"]
Span = Annotated[str | float, Named("time")]  # seconds: 8, 8s, 200ms, 1m, 1h, or a range that is drawn from: 8..15s
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def seconds(span: Span) -> tuple[float, float]:
    """The least and the most of a span, in seconds. Raises UsageError."""
    found = _SPAN.fullmatch(str(span))
    if not found:
        raise UsageError(f"{span!r} is no time: expected such as 8, 8s, 200ms or 8..15s")
    low, high, unit = found.groups()
    least, most = float(low) * _UNITS[unit], float(high or low) * _UNITS[unit]
    if most < least:
        raise UsageError(f"{span!r}: a range from more to less")
    return least, most


@dataclass(frozen=True)
class Means:
    """How one host does it: by what, shell scripts that inject and undo, and which other hosts it is about there, if any."""

    by: str
    inject: str
    undo: str
    peers: tuple[str, ...] = ()


@dataclass
class Applied:
    """A fault on its hosts: what is done on each, and what injecting it printed there."""

    scene: Scene
    where: Mapping[str, Means]
    said: dict[str, str] = field(default_factory=dict)
    owner: str = ""  # whose it is, on the hosts that hold it

    def ask(self, script: str | Mapping[str, str]) -> dict[str, str]:
        """What each host prints, all asked at once: one script for the hosts of the fault, or one for each host named."""
        scripts = dict.fromkeys(self.where, script) if isinstance(script, str) else script
        with ThreadPoolExecutor(max(1, len(scripts))) as pool:
            return dict(zip(scripts, pool.map(lambda name: self.scene.hosts[name].run(scripts[name]), scripts), strict=True))


class Fault(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """One entry of a scenario's `faults`. It begins `at` a time, or that long after what one of the next four fields names."""

    id: str  # its name, in the record and on the nodes
    at: Span = 0.0  # seconds (8, 8s, 200ms), or a range that is drawn from (8..15s), since the faults began
    after: str = ""  # id of a fault: `at` counts from when it was healed
    together: str = msgspec.field(name="with", default="")  # id of a fault: `at` counts from when it begins
    step: str = ""  # of an upgrade, such as switch: `at` counts from when a node first begins it
    when: str = ""  # JMESPath on an observation, as gates have it: `at` counts from when it was first seen to be true
    lasts: Span = msgspec.field(name="for", default=8.0)  # how long it lasts: a time, or a range

    # once: there is nothing to heal; whole: held for its time, not renewed; controller: no host can, and `sweep` finds what is left
    holds: ClassVar[Holds] = "lease"
    here: ClassVar[bool] = False  # done from here, by `inject` and `undo`, and not by scripts on hosts
    slow: ClassVar[float] = 0.0  # seconds more than others that it may take to be proved, as where a service is restarted
    majority: ClassVar[bool] = False  # it can only be healed while a majority of the members is there

    def check(self, nodes: list[str]) -> None:
        """Raise UsageError for fields that make no sense on these nodes (short names)."""

    @abstractmethod
    def takes(self, nodes: int) -> int:
        """How many of so many members it takes away at most."""

    @abstractmethod
    def on(self, scene: Scene) -> dict[str, Means]:
        """What is done on which host; roles are resolved now."""

    def able(self, scene: Scene) -> str:  # noqa: ARG002 (the protocol's name)
        """A script for each host that says on stdout why it cannot do this; nothing where it can."""
        return ""

    def cannot(self, scene: Scene) -> str:  # noqa: ARG002 (the protocol's name)
        """Why it cannot be done to this cluster; nothing where it can."""
        return ""

    @abstractmethod
    def proved(self, applied: Applied) -> str:
        """What shows that it is in effect, in words. Raises NotProved, HostError."""

    @abstractmethod
    def healed(self, applied: Applied) -> str:
        """What shows that it is over, in words. Raises NotProved, HostError."""

    def inject(self, applied: Applied) -> None:
        """Do it, where it is done from here. Raises HostError."""

    def undo(self, applied: Applied) -> None:
        """Undo it, where it is done from here; also what was done in part. Twice is fine. Raises HostError."""

    @classmethod
    def sweep(cls, scene: Scene) -> dict[str, list[str]]:  # noqa: ARG003 (the protocol's name)
        """Undo what is left of faults of this kind that no host holds; their names, by host."""
        return {}

    @property
    def kind(self) -> str:
        """Which fault it is."""
        return str(self.__struct_config__.tag)

    def about(self) -> dict[str, Any]:
        """It as plain data, for plans and records."""
        return dict(msgspec.to_builtins(self))
