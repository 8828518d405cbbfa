"""The workload's own behaviour, against nodes that are functions."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from nodewise.errors import SetupError, UnknownResult, UsageError
from nodewise.model import Operation
from nodewise.simulation.checkers.registry import CHECKERS, judge, merge
from nodewise.simulation.workloads import register
from nodewise.simulation.workloads.client import Client, Noop, Scans
from nodewise.simulation.workloads.final import final_reads
from nodewise.simulation.workloads.history import History, read_history
from nodewise.simulation.workloads.load import Load, Shape
from nodewise.simulation.workloads.registry import workload_named, workloads_known
from nodewise.simulation.workloads.stats import Latencies, Tally
from nodewise.simulation.workloads.worker import Around, Worker


class Cluster:
    """A map behind several nodes; a node answers as it is told to."""

    def __init__(self, **behaviour: str) -> None:
        self.behaviour = behaviour
        self.keys: dict[str, str] = {}
        self.asked = threading.Semaphore(0)

    def factory(self, node: str) -> Client:
        """A client of a node."""
        return Node(self, node)


class Node:
    """A client of one node of the cluster."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def open(self) -> None:
        """Connect, if the node is there."""
        if self.cluster.behaviour[self.name] == "refuses":
            raise ConnectionRefusedError(f"{self.name} refuses")

    def invoke(self, operation: Operation) -> Operation:
        """Do as told."""
        self.cluster.asked.release()
        if self.cluster.behaviour[self.name] == "crashes":
            raise ZeroDivisionError("oh")
        if self.cluster.behaviour[self.name] == "says no":
            return msgspec.structs.replace(operation, type="fail", refused=True)
        if operation.f == "read":
            return msgspec.structs.replace(operation, type="ok", value=self.cluster.keys.get(operation.key))
        self.cluster.keys[operation.key] = operation.value
        return msgspec.structs.replace(operation, type="info" if self.cluster.behaviour[self.name] == "hangs" else "ok")

    def close(self) -> None:
        """Nothing to close."""

    def scan(self, prefix: str) -> Mapping[str, str]:
        """Everything, if the node is well."""
        if self.cluster.behaviour[self.name] != "serves":
            raise TimeoutError("timed out")
        return {key: value for key, value in self.cluster.keys.items() if key.startswith(prefix)}


def perform(path: Path, cluster: Cluster, deadline: float = 5.0) -> tuple[list[Operation], Tally]:
    """One write by one client, at n1 first: its history and its tally."""
    tally = Tally(1)
    with History(path / "history.jsonl") as history:
        todo = (one for one in [Operation(0, "invoke", "write", "k", "0.1", 0)])
        Worker(0, todo, Around(cluster.factory, list(cluster.behaviour)), history, tally, deadline).step()
    return read_history(history.path), tally


def test_the_same_seed_gives_the_same_operations() -> None:
    """Operations depend on the seed and the process alone, and another seed gives others."""
    first, again, other = (list(islice(register.operations(seed, 1, 3, 9, "/p/"), 200)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_workloads_are_found_by_their_files() -> None:
    """Each says who judges it; one that there is not is refused with the nearest."""
    assert {"append", "bank", "cas", "lock", "register", "set"} == workloads_known().keys()
    assert all(set(one.checkers) <= CHECKERS.keys() for one in workloads_known().values())
    with pytest.raises(UsageError, match=r"no workload 'sets' \(did you mean set\?\); there are: append, bank, cas, lock, "):
        workload_named("sets")


def test_a_set_grows_and_is_read_again() -> None:
    """No key is added twice or shared, and a client reads what it has added before."""
    first, again, other = (list(islice(workload_named("set").operations(7, process, 3, 9, "/p/"), 300)) for process in (1, 1, 2))
    assert first == again
    added = [o.key for o in first + other if o.f == "add"]
    assert len(added) == len(set(added)) > 300
    seen: set[str] = set()
    for operation in first:
        assert operation.f == "add" or operation.key in seen
        seen.add(operation.key)


def test_a_client_that_was_told_what_is_there_changes_it() -> None:
    """A compare-and-set begins with the value that the client was shown last; one that was overtaken looks again."""
    todo = workload_named("cas").operations(7, 1, 3, 1, "/p/")
    look = next(todo)
    change = todo.send(msgspec.structs.replace(look, type="ok", value="0.9"))
    while change.f == "read":  # it may look more than once
        change = todo.send(msgspec.structs.replace(change, type="ok", value="0.9"))
    assert ("cas", "0.9", "1.1") == (change.f, change.old, change.value)
    assert "read" == todo.send(msgspec.structs.replace(change, type="fail", refused=True)).f


def test_what_a_system_answers_with_no_is_not_tried_again(tmp_path: Path) -> None:
    """A compare-and-set that found another value is answered, by one node, at once."""
    history, tally = perform(tmp_path, Cluster(n1="says no", n2="serves"))
    assert [(o.type, o.node) for o in history] == [("invoke", "n1"), ("fail", "n1")]
    assert (1, 0, 0) == ((stats := tally.stats(0)).ok, stats.failed, stats.retries)


def test_an_open_loop_makes_up_for_what_it_missed(tmp_path: Path) -> None:
    """Operations that were due while one took long follow at once, and their latency counts from when they were due."""
    cluster = Cluster(n1="serves")
    begun, go_on = threading.Event(), threading.Event()
    invoke = Node.invoke

    def slow(node: Node, operation: Operation) -> Operation:
        if not begun.is_set():
            begun.set()
            go_on.wait()
        return invoke(node, operation)

    with History(tmp_path / "history.jsonl") as history, pytest.MonkeyPatch.context() as patched:
        patched.setattr(Node, "invoke", slow)
        load = Load(cluster.factory, ["n1"], history, Shape("/p/", clients=1, rate=1000, loop="open"))
        load.start()
        begun.wait()
        threading.Timer(0.3, go_on.set).start()
        for _ in range(200):
            cluster.asked.acquire()
        stats = load.stop()
    assert (stats.p50_ms or 0) > 100, stats  # half of them were due while the first one took its time


def test_one_writer_a_register_and_every_value_once() -> None:
    """No two clients write one key, and no value is written twice."""
    wrote = [o for p in range(3) for o in islice(register.operations(1, p, 3, 9, "/p/"), 300) if o.f != "read"]
    assert len(wrote) == len({o.value for o in wrote})
    assert len({o.key for o in wrote}) == len({(o.key, o.process) for o in wrote})


def test_more_clients_than_keys_still_have_a_register_each() -> None:
    """A client whose share of the keys is empty writes one of its own."""
    wrote = {o.key for p in range(3) for o in islice(register.operations(1, p, 3, 1, "/p/"), 100) if o.f == "write"}
    assert len(wrote) == 3


def test_a_refused_connection_did_not_happen_and_the_next_node_is_tried(tmp_path: Path) -> None:
    """An attempt that was never sent ends `fail`, and the operation succeeds elsewhere."""
    history, tally = perform(tmp_path, Cluster(n1="refuses", n2="serves"))
    assert [(o.type, o.node) for o in history] == [("invoke", "n1"), ("fail", "n1"), ("invoke", "n2"), ("ok", "n2")]
    assert history[1].error == "ConnectionRefusedError: n1 refuses"
    stats = tally.stats(0)
    assert (stats.ops, stats.ok, stats.failed, stats.info, stats.retries) == (1, 1, 0, 0, 1)


def test_an_ambiguous_attempt_stays_ambiguous(tmp_path: Path) -> None:
    """An attempt that may have happened is recorded so, whatever its retry brings."""
    history, _ = perform(tmp_path, Cluster(n1="hangs", n2="serves"))
    assert [o.type for o in history] == ["invoke", "info", "invoke", "ok"]


def test_an_operation_is_given_up_after_its_deadline(tmp_path: Path) -> None:
    """When no node acknowledges until the deadline the operation failed, or may have happened if one attempt may have."""
    _, tally = perform(tmp_path, Cluster(n1="refuses"), deadline=0)
    assert (tally.stats(0).failed, tally.stats(0).info) == (1, 0)


def test_an_operation_given_up_after_an_ambiguous_attempt_is_info(tmp_path: Path) -> None:
    """One attempt that may have happened makes the whole operation one."""
    _, tally = perform(tmp_path, Cluster(n1="hangs"), deadline=0)
    assert (tally.stats(0).failed, tally.stats(0).info) == (0, 1)


def test_a_load_goes_through_every_node_and_is_judged_valid(tmp_path: Path) -> None:
    """A whole run: all nodes are asked, everything is acknowledged, read back and judged."""
    cluster = Cluster(n1="serves", n2="serves", n3="serves")
    with History(tmp_path / "history.jsonl") as history:
        load = Load(cluster.factory, list(cluster.behaviour), history, Shape("/p/", seed=3, keys=6, rate=5000)).start()
        for _ in range(200):
            cluster.asked.acquire()
        stats = load.stop()
        assert stats == load.stop()  # twice is fine, and counts no time after the first
        final_reads(cluster.factory, list(cluster.behaviour), history, "/p/")
    operations = read_history(history.path)
    assert (stats.failed, stats.info, stats.ops) == (0, 0, stats.ok)
    assert {o.node for o in operations if not o.final} == {"n1", "n2", "n3"}
    verdict = merge(judge(operations, register.checkers))
    assert verdict.valid == "valid", verdict.says


def test_a_client_that_crashes_makes_the_run_unknown(tmp_path: Path) -> None:
    """A defect in a client is never a shorter history that looks well."""
    cluster = Cluster(n1="crashes")
    with History(tmp_path / "history.jsonl") as history:
        load = Load(cluster.factory, ["n1"], history, Shape("/p/", clients=1, rate=1000)).start()
        cluster.asked.acquire()
        with pytest.raises(UnknownResult, match="client 0: ZeroDivisionError: oh"):
            load.stop()


@pytest.mark.parametrize("shape", [Shape("/", clients=0), Shape("/", keys=0), Shape("/", rate=0)])
def test_a_load_that_would_do_nothing_is_an_error(tmp_path: Path, shape: Shape) -> None:
    """Zero clients, keys or operations a second are named, and nothing starts."""
    with History(tmp_path / "history.jsonl") as history, pytest.raises(SetupError, match="expected more than 0"):
        Load(Cluster().factory, ["n1"], history, shape)


def test_a_node_that_cannot_be_read_makes_the_verdict_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Final reads through a node that does not answer are failed reads, not left out."""
    monkeypatch.setattr("nodewise.simulation.workloads.final.PAUSE", 0)
    cluster = Cluster(n1="serves", n2="hangs")
    with History(tmp_path / "history.jsonl") as history:
        for operation in (Operation(0, "invoke", "add", "/p/a", "1", 1, "n1"), Operation(0, "ok", "add", "/p/a", "1", 2, "n1")):
            history.append(operation)
        cluster.keys["/p/a"] = "1"
        final_reads(cluster.factory, ["n1", "n2"], history, "/p/")
    (verdict,) = judge(read_history(history.path), ["durable"])
    assert (verdict.valid, verdict.says) == ("unknown", "/p/a was not read through n2 after the workload")


def test_a_node_that_starts_again_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it is given, and longer than the attempts that each node has."""
    cluster, pauses = Cluster(n1="refuses"), list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 10:
            cluster.behaviour["n1"] = "serves"

    monkeypatch.setattr("nodewise.simulation.workloads.final.time.sleep", pause)
    with History(tmp_path / "history.jsonl") as history:
        for kind in ("invoke", "ok"):
            history.append(Operation(0, kind, "add", "/p/a", "1", 1, "n1"))
        cluster.keys["/p/a"] = "1"
        final_reads(cluster.factory, ["n1"], history, "/p/", within=60)
    (verdict,) = judge(read_history(history.path), ["durable"])
    assert "valid" == verdict.valid, verdict.says


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """A history whose writer was killed in the middle of a line can still be read."""
    with History(tmp_path / "history.jsonl") as history:
        history.append(Operation(0, "invoke", "read", "k", None, 1))
    with history.path.open("a") as file:
        file.write('{"process": 0, "ty')
    assert len(read_history(history.path)) == 1


def test_a_damaged_line_is_unknown(tmp_path: Path) -> None:
    """A line in the middle that is no operation is named, not skipped."""
    (tmp_path / "h").write_text('{"process": 0}\n{}\n')
    with pytest.raises(UnknownResult, match="line 1 is no operation"):
        read_history(tmp_path / "h")


def test_no_history_there(tmp_path: Path) -> None:
    """A path without a history is a usage error that says what to name."""
    with pytest.raises(UsageError, match="Name a run's history"):
        read_history(tmp_path / "none")


def test_a_client_goes_home_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that was driven off its node tries it again, and not at once."""
    around = Around(Cluster().factory, ["n1", "n2"])
    around.move_on()
    around.go_home()
    assert around.node == "n2"
    monkeypatch.setattr("nodewise.simulation.workloads.worker.AWAY", -1)
    around.go_home()
    assert around.node == "n1"


def test_the_longest_stall_counts_what_is_still_waiting() -> None:
    """A client that is stuck now stalls as long as it has waited, also before its operation ends."""
    tally = Tally(2)
    tally.begin(100.0)
    tally.acknowledged(0, 100.0, 100.5)
    assert tally.stats(103.0).longest_stall_ms == 3000.0
    tally.acknowledged(1, 100.0, 104.0)
    tally.end(104.1)
    assert tally.stats(200.0).longest_stall_ms == 4000.0


def test_the_rate_is_that_of_the_last_whole_second() -> None:
    """The rate falls to zero when nothing is acknowledged any more."""
    tally = Tally(1)
    tally.begin(10.0)
    for n in range(5):
        tally.acknowledged(0, 10.0, 10.1 + n / 10)
    assert [tally.stats(now).rate for now in (11.2, 12.5)] == [5.0, 0.0]


def test_percentiles_are_within_five_percent() -> None:
    """A percentile names the latency that this share stayed within, 5 % at most above it; of nothing there is none."""
    latencies = Latencies()
    assert latencies.percentile_ms(50) is None
    for milliseconds in range(1, 101):
        latencies.add(milliseconds / 1000)
    assert 50 <= (latencies.percentile_ms(50) or 0) <= 52.5
    assert 99 <= (latencies.percentile_ms(99) or 0) <= 104


def test_the_noop_client_is_a_client_that_scans() -> None:
    """What stands beside the protocols fulfils them."""
    client: Client = Noop()
    assert isinstance(client, Scans)
    assert client.invoke(Operation(0, "invoke", "write", "k", "1", 0)).type == "ok"
