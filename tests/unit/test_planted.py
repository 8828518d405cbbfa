"""Bugs planted in clients of a store in memory, under the real load: each is found with a fixed seed, within seconds."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.registry import judge
from nodewise.simulation.workloads.final import final_reads
from nodewise.simulation.workloads.history import History, read_history
from nodewise.simulation.workloads.load import Load, Shape
from nodewise.simulation.workloads.registry import workload_named

SEED = 4711
Breaks = Callable[["Client", Operation], Operation]


class Client:
    """A client of one store that all share, which keeps every promise; now and then an answer is lost on the way."""

    def __init__(self, store: dict[str, Any], lock: threading.Lock, breaks: Breaks | None = None) -> None:
        self.store, self.lock, self.breaks, self.lost = store, lock, breaks, random.Random(SEED)

    def open(self) -> None:
        """Nothing to connect to."""

    def close(self) -> None:
        """Nothing to let go of."""

    def invoke(self, operation: Operation) -> Operation:
        """Perform it, or do what a planted bug does."""
        return self.breaks(self, operation) if self.breaks and not operation.final else self.perform(operation)

    def perform(self, operation: Operation) -> Operation:
        """As a correct client."""
        with self.lock:
            done = self._done(operation)
        if operation.f in ("write", "add", "append") and self.lost.random() < 0.02:
            return replace(done, type="info")
        return done

    def _done(self, operation: Operation) -> Operation:
        there, value = self.store.get(operation.key), operation.value
        if operation.f == "read":
            return replace(operation, type="ok", value=there)
        if operation.f == "cas" and there != operation.old:
            return replace(operation, type="fail", refused=True)
        self.store[operation.key] = f"{there},{value}" if operation.f == "append" and there else value
        return replace(operation, type="ok")


def run(folder: Path, workload: str, breaks: Breaks | None, *, least: int = 1500) -> dict[str, Verdict]:
    """The verdicts after so many operations of six clients."""
    store, lock = dict[str, Any](), threading.Lock()
    nodes, known = ["n1", "n2", "n3"], workload_named(workload)
    with History(folder / "history.jsonl") as history:
        load = Load(lambda _: Client(store, lock, breaks), nodes, history, Shape("p/", SEED, 6, 6, 6000), known).start()
        until = time.monotonic() + 30
        while load.stats().ok < least and time.monotonic() < until:
            time.sleep(0.01)
        load.stop()
        final_reads(lambda _: Client(store, lock), nodes, history, "p/")
    return {one.checker: one for one in judge(read_history(folder / "history.jsonl"), known.checkers)}


@pytest.mark.parametrize("workload", ["register", "set", "cas", "append"])
def test_nothing_is_found_where_nothing_is_planted(workload: str, tmp_path: Path) -> None:
    """Every checker of the workload is sure of a correct client, lost answers or not."""
    assert {"valid"} == {one.valid for one in run(tmp_path, workload, None).values()}


def test_a_client_that_counts_timeouts_as_failures(tmp_path: Path) -> None:
    """What was refused, as it says, is there; it does not even try again."""

    def timeouts(client: Client, operation: Operation) -> Operation:
        done = client.perform(operation)
        return replace(done, type="fail", refused=True) if done.type == "info" else done

    found = run(tmp_path, "register", timeouts)
    assert ("invalid", "invalid") == (found["no_phantom"].valid, found["linearizable"].valid)


def test_a_read_path_that_answers_stale(tmp_path: Path) -> None:
    """A cache in front of one node, that is 20 ms behind."""
    cache: dict[str, tuple[float, Operation]] = {}

    def stale(client: Client, operation: Operation) -> Operation:
        if operation.f != "read" or operation.node != "n1":
            return client.perform(operation)
        at, kept = cache.get(operation.key, (0.0, operation))
        if time.monotonic() - at > 0.02:
            kept = client.perform(operation)
            cache[operation.key] = time.monotonic(), kept
        return replace(operation, type="ok", value=kept.value)

    found = run(tmp_path, "register", stale)
    assert ("invalid", "valid") == (found["linearizable"].valid, found["durable"].valid)


@pytest.mark.parametrize("workload", ["set", "register"])
def test_one_write_in_a_thousand_that_is_dropped(workload: str, tmp_path: Path) -> None:
    """Acknowledged, and never done: of a thousand the next addition, as a register may be written again before anybody reads it."""
    writes = itertools.count(1)
    due = [1000]

    def drops(client: Client, operation: Operation) -> Operation:
        if operation.f != "read" and next(writes) >= due[0] and operation.f == "add":
            due[0] += 1000
            return replace(operation, type="ok")
        return client.perform(operation)

    found = run(tmp_path, workload, drops, least=6000)
    assert "invalid" == found["durable"].valid


def test_a_compare_and_set_that_does_not_compare(tmp_path: Path) -> None:
    """Two clients that looked at once both win."""

    def blind(client: Client, operation: Operation) -> Operation:
        return client.perform(replace(operation, f="write")) if operation.f == "cas" else client.perform(operation)

    found = run(tmp_path, "cas", lambda client, asked: replace(blind(client, asked), f=asked.f))
    assert ("invalid", "invalid") == (found["chain"].valid, found["linearizable"].valid)


def test_an_append_that_loses_one_of_two_at_once(tmp_path: Path) -> None:
    """Read, changed and written back without a lock."""

    def torn(client: Client, operation: Operation) -> Operation:
        if operation.f != "append":
            return client.perform(operation)
        there = client.store.get(operation.key)
        time.sleep(0.0005)
        client.store[operation.key] = f"{there},{operation.value}" if there else operation.value
        return replace(operation, type="ok")

    found = run(tmp_path, "append", torn)
    assert ("invalid", "invalid") == (found["appended"].valid, found["linearizable"].valid)
