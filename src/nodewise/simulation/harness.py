# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rehearsal, whole: a testnet and a cluster with data on it, clients at work, the upgrade, and what a judge says of it all."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from nodewise.errors import SetupError, UnknownResult, UsageError
from nodewise.model import GOOD, Operation, Verdict
from nodewise.record.run import Run, new_folder, runs
from nodewise.record.summary import summarize
from nodewise.simulation.checkers.context import NOTHING, Context
from nodewise.simulation.checkers.registry import EXIT_CODES, judge, merge
from nodewise.simulation.disturb import Disturbance, coverage, sweep, times
from nodewise.simulation.faults.host import HostError, NotProved, Scene
from nodewise.simulation.hosts import collect, hand_over, scene_of
from nodewise.simulation.observing import Observer
from nodewise.simulation.playbook import TICK, follow
from nodewise.simulation.preconditions import Setting, require
from nodewise.simulation.scenario import Progress, Scenario, UpgradeSpec
from nodewise.simulation.workloads.client import ClientFactory, Credentials
from nodewise.simulation.workloads.data import seed_data, verify_data
from nodewise.simulation.workloads.final import final_reads
from nodewise.simulation.workloads.history import History, read_history
from nodewise.simulation.workloads.load import Load, Shape
from nodewise.simulation.workloads.program import Programs
from nodewise.simulation.workloads.registry import workload_named
from nodewise.simulation.workloads.stats import Stats
from nodewise.simulation.workloads.volume import Volume
from nodewise.systems import catalog
from nodewise.testnet import image, lifecycle
from nodewise.testnet.request import Request
from nodewise.testnet.state import Testnet
from nodewise.views.live import View, follow_journal


def request(scenario: Scenario, name: str) -> Request:
    """The testnet that a scenario asks for."""
    cluster = scenario.cluster
    about: dict[str, Any] = {"system": cluster.system, "version": cluster.version or None, "variables": cluster.variables}
    return Request(name, cluster.nodes, domains=tuple(cluster.domains), prepare=cluster.prepare, **about)


class Rehearsal:
    """One run of a scenario on a testnet of its own. `leader`: the node (n1) that is to lead before the first fault."""

    def __init__(
        self, scenario: Scenario, name: str, *, seed: int | None = None, base: Path | None = None, leader: str | None = None
    ) -> None:
        self.scenario, self.leader = scenario, leader
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
        self.then: Run | None = None  # of the playbook that followed on the upgrade
        self.prefix = f"/nodewise/{self.run.id}/"
        self.run.add(faults=msgspec.to_builtins(self.events))

    def up(self, say: Callable[[str], None]) -> Testnet:
        """A fresh testnet with the scenario's cluster on it."""
        net = lifecycle.up(request(self.scenario, self.name), say)
        self.run.add(image=image.tag())
        return net

    def perform(self, net: Testnet, show: View) -> dict[str, Any]:
        """Seed, work, upgrade, read everything back, judge. Returns the summary, which is in the run's folder, too.

        Whatever ends it, state and logs of the nodes are in the run's folder afterwards.
        """
        scene = scene_of(net, clients_of(net))
        try:
            return self._perform(net, scene, show)
        finally:
            collect(scene, self.run.folder / "collected")

    def _perform(self, net: Testnet, scene: Scene, show: View) -> dict[str, Any]:
        spec, nodes = self.scenario.workload, [node.name for node in net.nodes]
        factory, until = clients_of(net), time.monotonic() + self.scenario.timeout
        observer = Observer(net, self.run.folder / "observed")
        with suppress(UnknownResult):  # a cluster that cannot be asked is not healthy, which is told next
            for node, left in sweep(scene).items():
                self.run.note(f"{node}: healed {', '.join(left)}, which an earlier run had left")
        require(self.scenario.preconditions, Setting(observer, scene, self.events))
        self._lead(scene)
        expected, volume = seed_data(factory(nodes[0]), self.seed), Volume(self.seed, self.scenario.cluster.volume)
        if volume.mebibytes:
            volume.write(factory(nodes[0]))
        shape = Shape(self.prefix, self.seed, spec.clients, spec.keys, spec.rate, loop=spec.loop)
        with at_work(factory, nodes, self.run.folder / "history.jsonl", shape, spec.name, self._program(net)) as work:
            faults = Disturbance(self.events, scene, self.run.journal, work.history.now, observer)
            with showing(self.run, show, work):
                self._pause(spec.warmup)
                code = self._disturbed(net, faults, lambda: self._tick(show, work, until))
                self._pause(spec.warmup)
                told = [progress(work, factory, nodes, self.scenario.progress)] if self.events else []
                work.read_back(nodes, self.scenario.progress.within)
        told += [coverage(faults.windows, work.seen(), self.scenario.coverage)] if self.events else []
        judged = work.judged(nodes, expected, self.scenario.safety, self._context(scene, faults, observer))
        told += [*self._ended(), *map(self._as_promised, judged), *([volume.verdict(factory, nodes)] if volume.mebibytes else [])]
        return self._conclude(code, msgspec.to_builtins(work.stats()), told)

    def _lead(self, scene: Scene) -> None:
        """Have the node lead that is to, and keep who leads: roles of faults follow from it. Raises SetupError."""
        if self.leader:
            hand_over(scene, f"{self.name}-{self.leader}")
        if self.events:
            with suppress(NotProved, HostError):
                self.run.add(leader=scene.leader().rpartition("-")[2])

    def _context(self, scene: Scene, faults: Disturbance, observer: Observer) -> Context:
        """What the checkers that are asked may know beside the history; what none asks for is not looked at."""
        windows = [(one.began, one.ended) for one in faults.windows.values() if one.began is not None and one.ended is not None]
        fingerprints, logs = dict[str, str | None](), dict[str, str]()
        system = catalog.find(self.scenario.cluster.system, self.scenario.cluster.variables)
        if "converged" in self.scenario.safety:
            fingerprints = {member.name: member.fingerprint for member in observer.look().members}
        if "no_panic" in self.scenario.safety:
            collect(scene, folder := self.run.folder / "collected")
            logs = {path.name.removesuffix("-state.txt"): path.read_text() for path in folder.glob("*-state.txt")}
        return Context(windows, getattr(system, "LOCK_LEASE", None), fingerprints=fingerprints, logs=logs)

    def _as_promised(self, verdict: Verdict) -> Verdict:
        """A loss is told as what the cluster's mode promises, where its settings do not keep what was acknowledged."""
        cluster = self.scenario.cluster
        keeps = catalog.durable(cluster.system, cluster.variables).items()
        lacks = [f"{name}: {value}" for name, value in keeps if cluster.variables.get(name) != value]
        if not verdict.lost or not lacks:
            return verdict
        return replace(verdict, says=f"{verdict.says}; without {', '.join(lacks)} a failover may lose what was acknowledged")

    def _tick(self, show: View, work: Work, until: float) -> None:
        """What is looked at while things happen. Raises UnknownResult once it takes too long."""
        show.workload(work.stats())
        if time.monotonic() > until:
            raise UnknownResult(f"not over after {self.scenario.timeout:g} s, and ended; look into {self.run.folder}/collected")

    def _program(self, net: Testnet) -> Programs | None:
        """The user's program as clients of the workload, where there is one."""
        if not (command := self.scenario.workload.command):
            return None
        return Programs(shlex.split(command), urls_of(net), shown(net), self.run.folder / "workload.log")

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
        code = self._play(net, "upgrade", self.run, tick, approve=upgrade.approve)
        if upgrade.then and (self.run.outcome() or ("",))[0] in upgrade.ends:
            self.run.begin("linger")
            until = time.monotonic() + upgrade.linger
            while time.monotonic() < until:
                tick()
                self._pause(TICK)
            self.run.end("linger", ok=True)
            self.then = Run(self.run.folder / "then")
            self._play(net, upgrade.then, self.then, tick, approve="any")
        return code

    def _play(self, net: Testnet, playbook: str, run: Run, tick: Callable[[], None], approve: str) -> int:
        """Run a playbook to its end. Returns ansible-playbook's exit code."""
        upgrade = self.scenario.upgrade or UpgradeSpec(self.scenario.cluster.version)
        given = {"nodewise_to": upgrade.to, "nodewise_component": upgrade.component, "nodewise_cluster": net.name}
        run.folder.mkdir(exist_ok=True)
        return follow(
            f"playbooks/{playbook}.yml",
            run_dir=run.folder,
            # Without an approval the terminal, which this has, would be asked; one who began it may not be the second to approve.
            variables={**given, "nodewise_approve": "any", "nodewise_approvers": 2 if approve == "none" else 1},
            environment={"NODEWISE_TESTNET": net.name, "NODEWISE_VIEW": "off"},
            tick=tick,
        )

    def _ended(self) -> list[Verdict]:
        """How the way on, or back, ended that was to follow on the upgrade; nothing where none was to follow."""
        way = self.scenario.upgrade and self.scenario.upgrade.then
        if not way:
            return []
        if not self.then:
            return [Verdict("then", "unknown", f"{way} was not run: the upgrade did not end as it should")]
        outcome, why = self.then.outcome() or ("without an outcome", f"look into {self.then.folder}/ansible.log")
        expected = {"upgrade": "upgraded", "rollback": "rolled_back"}[way]
        valid: Literal["valid", "invalid", "unknown"] = "valid" if outcome == expected else "invalid"
        valid = "unknown" if outcome == "refused" else valid  # it changed nothing: whether it can be done was not seen
        return [Verdict("then", valid, f"{way} ended {outcome}: {why}")]

    def _conclude(self, code: int, stats: dict[str, Any], verdicts: list[Verdict]) -> dict[str, Any]:
        merged = merge(verdicts)
        if not self.scenario.upgrade:
            good = merged.valid == "valid"
            says = f"all of {', '.join(v.checker for v in verdicts)} are kept" if good else merged.says
            self.run.conclude("passed" if good else "failed", f"{merged.valid}: {says}")
        if code and self.run.outcome() is None:
            raise SetupError(f"ansible-playbook ended with {code} and without an outcome; look into {self.run.folder}/ansible.log")
        told = [{"checker": v.checker, "verdict": v.valid, "says": v.says} for v in verdicts]
        faults = times(self.run.records("fault"))
        return summarize(self.run, verdict=merged.valid, checkers=told, faults=faults, workload={**stats, "lost": merged.lost})

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
    program: Programs | None = None  # does the clients' work instead of the system's own clients

    def stats(self) -> Stats:
        """What has happened until now, or until the clients were stopped."""
        return self.load.stats()

    def read_back(self, nodes: list[str], within: float = 0) -> None:
        """Stop the clients, then read everything through each of these nodes. Raises UnknownResult when a client crashed.

        `within`: seconds that each of them has to be read.
        """
        self.load.stop()
        final_reads(self.program or self.factory, nodes, self.history, self.prefix, within)

    def seen(self) -> list[Operation]:
        """The history as it is on disk."""
        return read_history(self.history.path)

    def judged(self, nodes: list[str], expected: Any, safety: Sequence[str], context: Context = NOTHING) -> list[Verdict]:
        """Verdicts of the checkers named, on the user's program, and on the data from before (`expected`), if there was any."""
        data = [data_verdict(self.factory, nodes, expected)] if expected else []
        return [*judge(self.seen(), safety, context), *(self.program.verdicts() if self.program else []), *data]


@contextmanager
def at_work(
    factory: ClientFactory,
    nodes: list[str],
    history: Path,
    shape: Shape,
    workload: str = "register",
    program: Programs | None = None,
) -> Iterator[Work]:
    """Clients at work through these nodes around a block, whatever happens in it: rehearsals, bad days and benchmarks alike."""
    with History(history) as seen:
        load = Load(program or factory, nodes, seen, shape, workload_named(workload)).start()
        try:
            yield Work(factory, seen, load, shape.prefix, program)
        finally:
            load.stop()


def clients_of(net: Testnet) -> ClientFactory:
    """Clients of the cluster on a testnet, with what the operator shows: a certificate, or a password."""
    if not net.system:
        raise UsageError(f"testnet {net.name} has no cluster on it; make one with --system and --version")
    return catalog.find(net.system, net.variables).connect(urls_of(net), shown(net))


def urls_of(net: Testnet) -> dict[str, str]:
    """Where clients reach each node of the cluster on a testnet."""
    system = catalog.find(str(net.system), net.variables)
    return {node.name: system.url(node.address) for node in net.nodes}


def shown(net: Testnet) -> Credentials:
    """What an operator of a testnet's cluster shows."""
    return Credentials(*(str(net.pki / name) for name in ("ca.crt", "client.crt", "client.key", "passwords/nodewise")))


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
