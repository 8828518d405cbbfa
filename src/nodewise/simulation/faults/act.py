# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One fault on its hosts, from asked to healed, each of its states in the journal."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from nodewise.record import journal
from nodewise.simulation.faults import held
from nodewise.simulation.faults.fault import Applied, Fault
from nodewise.simulation.faults.host import HostError, NotProved, Scene

PROVING = 10.0  # seconds that a proof may take, of the effect or of its end
POLL = 0.1
Found = TypeVar("Found")


class Act:
    """A fault with its targets as they are now. Whatever comes of `begin`, `end` must be called. Raises NotProved."""

    def __init__(self, fault: Fault, scene: Scene, record: Path, owner: str = "") -> None:
        self.fault = fault
        self._record, self._injected, self._owner = record, False, owner or secrets.token_hex(8)
        self._applied = Applied(
            scene, _until(lambda: fault.on(scene)), owner=self._owner
        )  # who leads is not known while members elect

    def adopt(self) -> bool:
        """Whether its owner has begun it before, on any of its hosts: then it can be renewed, and ended."""
        answers = self._applied.ask(held.said(self.fault.id, self._owner))
        self._applied.said.update({name: said.partition("\n")[2] for name, said in answers.items() if said})
        self._injected = all(answers.values())
        return any(answers.values())

    def begin(self, seconds: float, lease: float = held.LEASE) -> str:
        """Inject on all hosts at once, and return what proves it. Raises NotProved, HostError.

        `seconds`: how long it is to last, for the record, and for a fault that nobody can renew.
        """
        where = {name: {"by": means.by, "peers": list(means.peers)} for name, means in self._applied.where.items()}
        self.write("begin", "asked", where=where, seconds=seconds)
        times = self._from_here() if self.fault.here else self._armed(seconds, lease)
        evidence = self._proved(lease)
        self.write("begin", "in_effect", on_nodes=times, evidence=evidence)
        return evidence

    def _from_here(self) -> dict[str, float]:
        self._injected = True
        self.fault.inject(self._applied)
        return {}

    def _armed(self, seconds: float, lease: float) -> dict[str, float]:
        """Have each host inject and hold it; when each did (epoch)."""
        wait = self.fault.holds != "whole"
        lasts = lease if wait else seconds
        scripts = {
            name: held.arm(self.fault.id, self._owner, means.inject, means.undo, lasts, wait=wait)
            for name, means in self._applied.where.items()
        }
        times = {}
        answers, self._injected = self._applied.ask(scripts), True
        for name, said in answers.items():
            if wait:
                first, _, self._applied.said[name] = said.partition("\n")
                times[name] = float(first)
        return times

    def _proved(self, lease: float) -> str:
        """What proves it. It is renewed meanwhile, as that may take longer than the lease lasts."""
        due = time.monotonic() + lease / 3

        def prove() -> str:
            nonlocal due
            if time.monotonic() > due:
                self.renew(lease)
                due = time.monotonic() + lease / 3
            return self.fault.proved(self._applied)

        return _until(prove, self.fault.slow)

    def renew(self, lease: float = held.LEASE) -> None:
        """Have the nodes hold it for so many seconds from now. Raises HostError where one has healed already."""
        if self.fault.holds == "lease":
            self._applied.ask(held.renew(self.fault.id, self._owner, lease))

    def end(self, lease: float = held.LEASE) -> str:
        """Undo it on all hosts, and return what proves that; nothing where it was not injected on all.

        A host out of reach heals itself, and is asked until then.
        """
        self.write("end", "healing")
        times = self._undone(lease)
        if not self._injected:  # not on every host: there is no end of an effect to prove, and each host has undone what it did
            self.write("end", "undone", on_nodes=times)
            return ""
        evidence = _until(lambda: self.fault.healed(self._applied), self.fault.slow)
        self.write("end", "healed", on_nodes=times, evidence=evidence)
        return evidence

    def _undone(self, lease: float) -> dict[str, dict[str, float]]:
        """Have each host undo it; when each began and ended it (epoch)."""
        patience = time.monotonic() + lease + PROVING
        while True:
            try:
                if self.fault.here:
                    self.fault.undo(self._applied)
                    return {}
                said = self._applied.ask(held.heal(self.fault.id, self._owner))
                return {name: _times(text) for name, text in said.items()}
            except HostError:
                if time.monotonic() > patience:
                    raise
                time.sleep(POLL)

    def write(self, phase: Literal["begin", "end"], state: str, **more: Any) -> None:
        """A record of the journal."""
        journal.append(self._record, "fault", phase, fault=self.fault.id, what=self.fault.kind, state=state, **more)


@contextmanager
def in_effect(fault: Fault, scene: Scene, record: Path, lease: float) -> Iterator[None]:
    """The fault around a block, proved before it and proved to be healed after it. It is not renewed: `lease` covers the block."""
    act = Act(fault, scene, record)
    try:
        act.begin(lease, lease)
        yield
    finally:
        act.end(lease)


def _times(said: str) -> dict[str, float]:
    """When a node began and ended it (epoch), as its record says; what it does not say is left out."""
    return {name: float(word) for name, word in zip(("began", "ended"), said.split(), strict=False) if word != "-"}


def _until(prove: Callable[[], Found], more: float = 0.0) -> Found:
    """What a proof says, as soon as it holds; `more` seconds than usual are waited for it."""
    deadline = time.monotonic() + PROVING + more
    while True:
        try:
            return prove()
        except (NotProved, HostError):
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL)
