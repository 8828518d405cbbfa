# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Performing a plan of faults beside a workload and an upgrade: asked, in effect, healing, healed, all of it in the journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nodewise.errors import NodewiseError, UnknownResult, UsageError
from nodewise.model import Operation, Verdict
from nodewise.record import journal
from nodewise.simulation.faults import held
from nodewise.simulation.faults.act import POLL, Act
from nodewise.simulation.faults.cluster import OfCluster
from nodewise.simulation.faults.fault import Applied, Fault, Means
from nodewise.simulation.faults.host import HostError, Scene
from nodewise.simulation.faults.registry import kinds
from nodewise.simulation.observing import Observer
from nodewise.simulation.schedule import Event, refuse_unfit

NEVER = 60.0  # seconds that a fault waits for what `when` asks for, once there is no upgrade any more


@dataclass
class Window:
    """When a fault was proved to be in effect: from `began` to `ended`, by the clock of the history (ns)."""

    fault: str
    kind: str
    began: int | None = None
    ended: int | None = None
    why: str = "it never began"  # what is missing, where it was not proved
    healed: bool = False
    instant: bool = False  # over at once: nobody can be at work in it


class Disturbance:
    """The faults of a plan, each in a thread of its own. `now` is the clock of the history."""

    def __init__(
        self, events: Sequence[Event], scene: Scene, record: Path, now: Callable[[], int], observer: Observer | None = None
    ) -> None:
        faults = {event.id: event.read() for event in events}
        self.windows = {name: Window(name, fault.kind, instant=fault.holds == "once") for name, fault in faults.items()}
        self._scene, self._record, self._now = scene, record, now
        self._stop, self._no_more_steps = threading.Event(), threading.Event()
        self._observer = observer
        self._begun, self._over = ({event.id: threading.Event() for event in events} for _ in range(2))
        self._threads = [threading.Thread(target=self._whole, args=(event,), daemon=True) for event in events]
        self._began = 0.0

    def start(self) -> Disturbance:
        """Begin to count; returns at once."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def wait(self, tick: Callable[[], None]) -> None:
        """Until all are healed, after the upgrade has ended: no step of it begins any more."""
        self._no_more_steps.set()
        while any(thread.is_alive() for thread in self._threads):
            tick()
            self._stop.wait(POLL)

    def stop(self) -> None:
        """Heal what is in effect and begin nothing more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _whole(self, event: Event) -> None:
        window, fault = self.windows[event.id], event.read()
        try:
            if self._reached(event, fault):
                self._perform(event, fault, window)
        except (NodewiseError, OSError) as error:
            self._failed(window, str(error))
        except Exception as error:  # noqa: BLE001 a defect of a fault is no coverage, and must not end the others
            self._failed(window, f"{type(error).__name__}: {error}")
        finally:
            self._begun[event.id].set()
            self._over[event.id].set()

    def _reached(self, event: Event, fault: Fault) -> bool:
        """Wait for what it waits for; False when the run ends before."""
        due = self._began
        if fault.after or fault.together or fault.step or fault.when:
            if not self._came(fault):
                return False
            due = time.monotonic()
        return not self._stop.wait(max(0.0, due + event.at - time.monotonic()))

    def _came(self, fault: Fault) -> bool:
        """Wait for the one thing that a fault waits for; False when the run ends before."""
        if fault.when:
            return self._seen(fault)
        if fault.step:
            reader = journal.Reader(self._record)
            while not any(_begins(record, fault.step) for record in reader.more()):
                if self._stop.is_set() or self._no_more_steps.wait(POLL):
                    return False
            return True
        awaited = self._over[fault.after] if fault.after else self._begun[fault.together]
        while not awaited.wait(POLL):
            if self._stop.is_set():
                return False
        return True

    def _seen(self, fault: Fault) -> bool:
        """Wait until an observation shows what `when` asks for; once there is no upgrade any more, not for ever."""
        if self._observer is None:
            raise UnknownResult(f"{fault.id}: nobody observes the cluster, so when cannot be told")
        ended: list[float] = []

        def over() -> bool:
            if self._no_more_steps.is_set() and not ended:
                ended.append(time.monotonic())
            return self._stop.is_set() or bool(ended and time.monotonic() - ended[0] > NEVER)

        came = self._observer.until(fault.when, over)
        if not came:
            self.windows[fault.id].why = f"it never began: {fault.when} was not seen to be true"
        return came

    def _perform(self, event: Event, fault: Fault, window: Window) -> None:
        full = {name.rpartition("-")[2]: name for name in self._scene.hosts}
        self._begun[event.id].set()
        act = Act(fault, replace(self._scene, order=[full[name] for name in event.order]), self._record)
        try:
            act.begin(event.lasts)
            window.began, window.why = self._now(), ""
            self._hold(event, act)
        finally:
            window.ended = self._now()
            act.end()
            window.healed = True

    def _hold(self, event: Event, act: Act) -> None:
        """Renew until its time is over. Where a lease has ended the node has healed by itself, which is an error here."""
        until = time.monotonic() + (0.0 if act.fault.holds == "once" else event.lasts)
        while (left := until - time.monotonic()) > 0 and not self._stop.wait(min(left, held.LEASE / 3)):
            if time.monotonic() < until:
                act.renew()

    def _failed(self, window: Window, why: str) -> None:
        window.why = why
        journal.append(self._record, "fault", "end", fault=window.fault, what=window.kind, state="failed", error=why)


def _begins(record: Mapping[str, Any], step: str) -> bool:
    """Whether a record of the journal says that a node's step begins."""
    return (record["kind"], record["phase"], record.get("step")) == ("step", "begin", step)


def coverage(windows: Mapping[str, Window], history: Sequence[Operation], least: int) -> Verdict:
    """Whether each fault was proved to be in effect and healed, and clients were at work meanwhile; unknown otherwise."""
    told, missing = [], []
    for window in windows.values():
        done = sum(o.type != "invoke" and not o.final and _within(o.time, window) for o in history)
        if window.why:
            missing.append(f"{window.fault}: {window.why}")
        elif not window.healed:
            missing.append(f"{window.fault}: not proved to be healed")
        elif done < least and not window.instant:
            missing.append(f"{window.fault}: {done} operations ended in it, expected {least} or more")
        told.append(f"{window.fault} {done} operations")
    if missing:
        return Verdict("coverage", "unknown", f"no coverage: {'; '.join(missing)}")
    return Verdict("coverage", "valid", f"every fault was in effect and healed: {', '.join(told)}")


def _within(time_ns: int, window: Window) -> bool:
    return window.began is not None and window.ended is not None and window.began <= time_ns <= window.ended


def times(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """When each fault of a journal was asked for, proved to be in effect, and proved to be healed: ISO 8601, or None."""
    found: dict[str, dict[str, Any]] = {}
    names = {"asked": "asked", "in_effect": "proved", "healed": "healed"}
    for one in records:
        if one["kind"] == "fault":
            about = found.setdefault(one["fault"], {"fault": one["fault"], "kind": one["what"], **dict.fromkeys(names.values())})
            if name := names.get(one["state"]):
                about[name] = datetime.fromtimestamp(one["t"] / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return list(found.values())


def refuse_unable(events: Sequence[Event], scene: Scene) -> None:
    """Raise UsageError for a fault that a host cannot do; nothing is changed."""
    refuse_unfit(events, scene)
    for event in events:
        fault = event.read()
        if script := fault.able(scene):
            applied = Applied(scene, dict.fromkeys(scene.hosts, Means("", "", "")))
            if cannot := {name: said for name, said in applied.ask(script).items() if said}:
                name, why = next(iter(cannot.items()))
                raise UsageError(f"{fault.id}: {name} cannot do this: {why}")


def held_by(scene: Scene) -> dict[str, list[str]]:
    """The names of the faults that each host holds, by its own record."""
    applied = Applied(scene, dict.fromkeys(scene.hosts, Means("", "", "")))
    found = applied.ask(f'for one in {held.ROOT}/*/; do [ ! -e "$one" ] || basename "$one"; done')
    return {name: said.split() for name, said in found.items()}


def heal_all(scene: Scene) -> dict[str, list[str]]:
    """Undo whatever the hosts hold, by their own records, and before it what no host can hold; the names of it all, by host.

    Raises UsageError for a host that is no test host, UnknownResult for one that did not say that it is healed.
    """
    swept = sweep(scene)
    applied = Applied(scene, dict.fromkeys(scene.hosts, Means("", "", "")))
    try:
        told = {name: said.split() for name, said in applied.ask(held.heal_all()).items()}
    except HostError as error:
        raise (UsageError if held.MARK in str(error) else UnknownResult)(str(error)) from error
    return {name: [*swept.get(name, []), *names] for name, names in told.items()}


def sweep(scene: Scene) -> dict[str, list[str]]:
    """Undo what is left of faults that no host can hold, as where a controller died; their names, by host. Raises UnknownResult."""
    kinds_here = [kind for kind in kinds().values() if kind.holds == "controller"]
    found: dict[str, list[str]] = {}
    for kind in sorted(kinds_here, key=lambda kind: issubclass(kind, OfCluster)):  # a cluster can be asked once its hosts are there
        try:
            swept = kind.sweep(scene)
        except HostError as error:
            raise UnknownResult(f"what is left of faults of the cluster is not known: {error}") from error
        for name, left in swept.items():
            found.setdefault(name, []).extend(left)
    return {name: left for name, left in found.items() if left}
