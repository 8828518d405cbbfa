# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rehearsal, whole: a testnet and a cluster with data on it, clients at work, the upgrade, and what a judge says of it all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from nodewise.errors import SetupError, UnknownResult, UsageError
from nodewise.model import GOOD, Operation, Verdict
from nodewise.record.run import Run, new_folder, runs
from nodewise.record.summary import summarize
from nodewise.simulation.checkers.registry import EXIT_CODES, judge, merge
from nodewise.simulation.disturb import Disturbance, coverage, refuse_unable
from nodewise.simulation.hosts import scene_of
from nodewise.simulation.playbook import follow
from nodewise.simulation.scenario import Progress, Scenario, UpgradeSpec
from nodewise.simulation.workloads.client import ClientFactory, Credentials
from nodewise.simulation.workloads.data import seed_data, verify_data
from nodewise.simulation.workloads.final import final_reads
from nodewise.simulation.workloads.history import History, read_history
from nodewise.simulation.workloads.load import Load, Shape
from nodewise.simulation.workloads.registry import workload_named
from nodewise.simulation.workloads.stats import Stats
from nodewise.systems import catalog
from nodewise.testnet import image, lifecycle
from nodewise.testnet.request import Request
from nodewise.testnet.state import Testnet
from nodewise.views.live import View, follow_journal


class Rehearsal:
    """One run of a scenario on a testnet of its own."""

    def __init__(self, scenario: Scenario, name: str, *, seed: int | None = None, base: Path | None = None) -> None:
        self.scenario = scenario
        self.name = name
        self.seed = scenario.drawn(seed)
        self.events = scenario.events(self.seed)
        cluster, upgrade = scenario.cluster, scenario.upgrade or UpgradeSpec(scenario.cluster.version)
        named = f"nodewise_{upgrade.component}_version"
        self.run = Run.create(
            new_folder(base or runs(), scenario.name, name),
            kind=scenario.name,
            cluster=name,
            system=cluster.system,
            seed=self.seed,
            to=upgrade.to,
            scenario=msgspec.to_builtins(scenario),
            **{"from": cluster.variables.get(named) if upgrade.component else cluster.version},
        )
        self.prefix = f"/nodewise/{self.run.id}/"
        self.run.add(faults=msgspec.to_builtins(self.events))

    def up(self, say: Callable[[str], None]) -> Testnet:
        """A fresh testnet with the scenario's cluster on it."""
        cluster = self.scenario.cluster
        given: dict[str, Any] = {"system": cluster.system, "version": cluster.version or None, "variables": cluster.variables}
        net = lifecycle.up(Request(self.name, cluster.nodes, **given), say)
        self.run.add(image=image.tag())
        return net

    def perform(self, net: Testnet, show: View) -> dict[str, Any]:
        """Seed, work, upgrade, read everything back, judge. Returns the summary, which is in the run's folder, too."""
        spec, nodes = self.scenario.workload, [node.name for node in net.nodes]
        factory = clients_of(net)
        scene = scene_of(net, factory)
        refuse_unable(self.events, scene)
        expected = seed_data(factory(nodes[0]), self.seed)
        shape = Shape(self.prefix, self.seed, spec.clients, spec.keys, spec.rate)
        with at_work(factory, nodes, self.run.folder / "history.jsonl", shape, spec.name) as work:
            faults = Disturbance(self.events, scene, self.run.journal, work.history.now)
            with showing(self.run, show, work):
                self._pause(spec.warmup)
                code = self._disturbed(net, faults, lambda: show.workload(work.stats()))
                self._pause(spec.warmup)
                told = [progress(work, factory, nodes, self.scenario.progress)] if self.events else []
                work.read_back(nodes)
        told += [coverage(faults.windows, work.seen(), self.scenario.coverage)] if self.events else []
        told += work.judged(nodes, expected, self.scenario.safety)
        return self._conclude(code, msgspec.to_builtins(work.stats()), told)

    def _disturbed(self, net: Testnet, faults: Disturbance, tick: Callable[[], None]) -> int:
        """Upgrade while the faults happen; whatever ends it, they are healed. Returns ansible-playbook's exit code."""
        faults.start()
        try:
            code = self._upgrade(net, tick)
            faults.wait(tick)
        finally:
            faults.stop()
        return code

    def _upgrade(self, net: Testnet, tick: Callable[[], None]) -> int:
        upgrade = self.scenario.upgrade
        if not upgrade:
            return 0
        return follow(
            "playbooks/upgrade.yml",
            run_dir=self.run.folder,
            variables={
                "nodewise_to": upgrade.to,
                "nodewise_component": upgrade.component,
                "nodewise_cluster": net.name,
                "nodewise_approve": "any",
            },
            environment={"NODEWISE_TESTNET": net.name, "NODEWISE_VIEW": "off"},
            tick=tick,
        )

    def _conclude(self, code: int, stats: dict[str, Any], verdicts: list[Verdict]) -> dict[str, Any]:
        merged = merge(verdicts)
        if not self.scenario.upgrade:
            self.run.conclude("passed" if merged.valid == "valid" else "failed", f"{merged.valid}: {merged.says}")
        if code and self.run.outcome() is None:
            raise SetupError(f"ansible-playbook ended with {code} and without an outcome; look into {self.run.folder}/ansible.log")
        told = [{"checker": v.checker, "verdict": v.valid, "says": v.says} for v in verdicts]
        return summarize(self.run, verdict=merged.valid, checkers=told, workload={**stats, "lost": merged.lost})

    @staticmethod
    def _pause(seconds: float) -> None:
        threading.Event().wait(seconds)


@dataclass
class Work:
    """Clients at work on a cluster, what they saw, and what is to be said of it."""

    factory: ClientFactory
    history: History
    load: Load
    prefix: str

    def stats(self) -> Stats:
        """What has happened until now, or until the clients were stopped."""
        return self.load.stats()

    def read_back(self, nodes: list[str]) -> None:
        """Stop the clients, then read everything through each of these nodes. Raises UnknownResult when a client crashed."""
        self.load.stop()
        final_reads(self.factory, nodes, self.history, self.prefix)

    def seen(self) -> list[Operation]:
        """The history as it is on disk."""
        return read_history(self.history.path)

    def judged(self, nodes: list[str], expected: Any, safety: Sequence[str]) -> list[Verdict]:
        """Verdicts of the checkers named, and on the data from before (`expected`), if there was any."""
        return [*judge(self.seen(), safety), *([data_verdict(self.factory, nodes, expected)] if expected else [])]


@contextmanager
def at_work(factory: ClientFactory, nodes: list[str], history: Path, shape: Shape, workload: str = "register") -> Iterator[Work]:
    """Clients at work through these nodes around a block, whatever happens in it: rehearsals, bad days and benchmarks alike."""
    with History(history) as seen:
        load = Load(factory, nodes, seen, shape, workload_named(workload)).start()
        try:
            yield Work(factory, seen, load, shape.prefix)
        finally:
            load.stop()


def clients_of(net: Testnet) -> ClientFactory:
    """Clients of the cluster on a testnet, with what the operator shows: a certificate, or a password."""
    if not net.system:
        raise UsageError(f"testnet {net.name} has no cluster on it; make one with --system and --version")
    shown = Credentials(*(str(net.pki / name) for name in ("ca.crt", "client.crt", "client.key", "passwords/nodewise")))
    system = catalog.find(net.system)
    return system.connect({node.name: system.url(node.address) for node in net.nodes}, shown)


def data_verdict(factory: ClientFactory, nodes: list[str], expected: Any) -> Verdict:
    """Whether the data that was there before is there afterwards, through every member."""
    try:
        wrong = {node: off for node in nodes if (off := verify_data(factory(node), expected))}
    except UnknownResult as error:
        return Verdict("data", "unknown", str(error))
    if not wrong:
        return Verdict("data", "valid", "the data from before is whole on every member")
    said = "; ".join(f"{node}: {', '.join(off[:3])}" for node, off in wrong.items())
    return Verdict("data", "invalid", f"the data from before changed: {said}")


def progress(work: Work, factory: ClientFactory, nodes: list[str], asked: Progress) -> Verdict:
    """Whether clients get on once every fault is healed, and every member answers, in the time that the scenario gives them."""
    began, before, silent = time.monotonic(), work.stats().ok, nodes
    while (took := time.monotonic() - began) < asked.within:
        silent = [node for node in silent if not answers(factory, node)]
        done = work.stats().ok - before
        if done >= asked.operations and not silent:
            says = f"{done} operations acknowledged, and every member answers, {took:.1f} s after the last fault's end"
            return Verdict("progress", "valid", says)
        threading.Event().wait(0.05)
    says = f"{work.stats().ok - before} operations acknowledged in {asked.within:g} s after every fault was healed"
    named = f"; {', '.join(silent)} did not answer" if silent else f"; expected {asked.operations}"
    return Verdict("progress", "invalid", says + named)


def answers(factory: ClientFactory, node: str) -> bool:
    """Whether a read through a node is answered."""
    client = factory(node)
    try:
        with closing(client):
            client.open()
            return client.invoke(Operation(0, "invoke", "read", "/nodewise/answers", None, 0)).type == "ok"
    except OSError:
        return False


@contextmanager
def showing(run: Run, show: View, work: Work) -> Iterator[None]:
    """Render the run's journal and the load while it happens."""
    stop = threading.Event()
    thread = threading.Thread(target=follow_journal, args=(run.journal, show.feed, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        show.workload(work.stats())
        stop.set()
        thread.join(5)


def exit_code(summary: dict[str, Any], ends: Collection[str] = GOOD) -> int:
    """0 when everything promised was kept; 1 when something was broken; 3 when it could not be judged; 4 when it never began.

    `ends`: the outcomes of an upgrade that does what it should. One that was refused changed nothing: the scenario does not fit
    what is there, such as a mirror with one version only.
    """
    if summary["verdict"] == "invalid":
        return 1
    if summary["outcome"] == "refused":
        return SetupError.exit_code
    if summary["outcome"] not in (*ends, "failed"):  # failed: there was no upgrade, and the verdict says it
        return 1
    return EXIT_CODES[summary["verdict"]]
