"""Histories of a correct store that fails in every legal way: never invalid, unless something is taken out of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodewise.model import Operation
from nodewise.simulation.checkers.registry import judge
from nodewise.simulation.workloads import register
from nodewise.simulation.workloads.registry import workload_named

CLIENTS, KEYS = 3, 5
FATE = st.sampled_from(["ok", "ok", "ok", "fail", "done", "not", "late", "again"])  # again: the client's last one, once more
FATES = st.lists(st.tuples(st.integers(0, CLIENTS - 1), FATE), max_size=80)


class Store:
    """A map, rows that were added, and writes on their way to it that nobody waits for any more."""

    def __init__(self) -> None:
        self.keys: dict[str, list[str]] = {}
        self._late: list[Operation] = []
        self._clock = 0

    def perform(self, operation: Operation, fate: str) -> Iterator[Operation]:
        """The two lines of a history for an operation that ends like this."""
        yield self._at(operation)
        value = operation.value
        if operation.f == "read":
            value = next(iter(self.keys.get(operation.key, [])), None)
        elif fate in ("ok", "done"):
            self._apply(operation)
        elif fate == "late":
            self._late.append(operation)
        ambiguous = "fail" if operation.f == "read" else "info"
        outcome = fate if fate in ("ok", "fail") else ambiguous
        yield self._at(msgspec.structs.replace(operation, type=outcome, value=value))

    def settle(self) -> None:
        """What was on its way arrives."""
        for operation in self._late:
            self._apply(operation)
        self._late = []

    def final(self) -> Iterator[Operation]:
        """A final read of each key through two nodes."""
        for process, node in ((CLIENTS, "n1"), (CLIENTS + 1, "n2")):
            for key in register_keys(self):
                for value in self.keys.get(key) or [None]:
                    asked = self._at(Operation(process, "invoke", "read", key, None, 0, node, final=True))
                    yield asked
                    yield self._at(msgspec.structs.replace(asked, type="ok", value=value))

    def _apply(self, operation: Operation) -> None:
        """A write replaces, an addition is one row more."""
        before = self.keys.get(operation.key, []) if operation.f == "add" else []
        self.keys[operation.key] = [*before, operation.value]

    def _at(self, operation: Operation) -> Operation:
        self._clock += 1
        return msgspec.structs.replace(operation, time=self._clock)


def register_keys(store: Store) -> list[str]:
    """Keys of the registers, and those that were added."""
    return sorted({f"k{n}" for n in range(KEYS)} | set(store.keys))


def run(seed: int, fates: list[tuple[int, str]]) -> tuple[list[Operation], Store]:
    """A history of the register workload on a correct store, before the final reads."""
    store = Store()
    todo = [register.operations(seed, process, CLIENTS, KEYS, "") for process in range(CLIENTS)]
    history: list[Operation] = []
    last: dict[int, Operation] = {}
    for number, (process, fate) in enumerate(fates):
        if fate != "again" or process not in last:
            last[process] = next(todo[process])
        history += store.perform(last[process], "ok" if fate == "again" else fate)
        if number % 7 == 0:
            store.settle()
    return history, store


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 9), FATES)
def test_a_correct_store_is_never_invalid(seed: int, fates: list[tuple[int, str]]) -> None:
    """Whatever is refused, ambiguous or late: no checker calls a correct store invalid, and durable is sure of it."""
    history, store = run(seed, fates)
    store.settle()
    whole = [*history, *store.final()]
    verdicts = judge(whole)
    assert [verdict for verdict in verdicts if verdict.valid == "invalid"] == []
    if any(o.type == "ok" and o.f in ("write", "add") for o in whole):
        assert verdicts[0].valid == "valid"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 9), FATES, st.data())
def test_an_acknowledged_add_that_is_deleted_is_always_found(seed: int, fates: list[tuple[int, str]], data: st.DataObject) -> None:
    """One added key taken out behind the store's back is one lost write, by name."""
    history, store = run(seed, [*fates, *((process, "ok") for process in range(CLIENTS) for _ in range(30))])
    added = sorted({o.key for o in history if o.type == "ok" and o.f == "add"})
    gone = data.draw(st.sampled_from(added))
    finals = list(store.final())
    for operation in finals:
        if operation.key == gone and operation.type == "ok":
            operation.value = None
    (verdict,) = judge([*history, *finals], ["durable"])
    assert (verdict.valid, verdict.lost) == ("invalid", 1)
    assert f"({gone} = " in verdict.says


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 9), FATES, st.data())
def test_a_register_that_is_set_back_is_always_found(seed: int, fates: list[tuple[int, str]], data: st.DataObject) -> None:
    """A register that holds an older acknowledged value again is one lost write, by name."""
    fates = [(process, fate if fate == "fail" else "ok") for process, fate in fates]
    history, store = run(seed, [*fates, *((process, "ok") for process in range(CLIENTS) for _ in range(30))])
    wrote = [o for o in history if o.type == "ok" and o.f == "write"]
    older = [o for n, o in enumerate(wrote) if any(later.key == o.key for later in wrote[n + 1 :])]
    back = data.draw(st.sampled_from(older))
    store.keys[back.key] = [back.value]
    (verdict,) = judge([*history, *store.final()], ["durable"])
    assert (verdict.valid, verdict.lost) == ("invalid", 1)
    assert f"({back.key} = " in verdict.says


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 9), FATES, st.data())
def test_a_row_that_is_there_too_often_is_always_found(seed: int, fates: list[tuple[int, str]], data: st.DataObject) -> None:
    """One row more than there were attempts that may have added it is found, by name, and nothing counts as lost for it."""
    history, store = run(seed, [*fates, *((process, "ok") for process in range(CLIENTS) for _ in range(30))])
    store.settle()
    key = data.draw(st.sampled_from(sorted({o.key for o in history if o.type == "ok" and o.f == "add"})))
    possible = sum(o.key == key and o.type in ("ok", "info") for o in history)
    store.keys[key] = store.keys[key][:1] * (possible + 1)
    durable, once = judge([*history, *store.final()], ["durable", "once"])
    assert ("valid", "invalid") == (durable.valid, once.valid)
    assert f"({key} is there " in once.says


class Shared(Store):
    """Registers, lists and accounts that all clients change; what a client is told goes back into its operations."""

    def perform(self, operation: Operation, fate: str) -> Iterator[Operation]:
        """The two lines of a history."""
        yield self._at(operation)
        if operation.f in ("read", "balances"):
            value = self.balances() if operation.f == "balances" else next(iter(self.keys.get(operation.key, [])), None)
            yield self._at(msgspec.structs.replace(operation, type="fail" if fate == "fail" else "ok", value=value))
            return
        agrees = self.agrees(operation)
        if fate in ("ok", "again", "done"):
            self._apply(operation)
        elif fate == "late":
            self._late.append(operation)
        outcome = "info" if fate in ("done", "not", "late") else "ok" if fate != "fail" and agrees else "fail"
        refused = outcome == "fail" and fate != "fail"
        yield self._at(msgspec.structs.replace(operation, type=outcome, refused=refused))

    def balances(self) -> dict[str, int]:
        """All accounts."""
        return {key: int(value) for key, (value,) in self.keys.items() if key.startswith("account")}

    def agrees(self, operation: Operation) -> bool:
        """Whether what an operation compares, or counts on, is there."""
        if operation.f == "cas":
            return self.keys.get(operation.key) == ([operation.old] if operation.old is not None else None)
        return operation.f != "transfer" or self.balances().get(operation.value["from"], -1) >= operation.value["amount"]

    def _apply(self, operation: Operation) -> None:
        value = operation.value
        if operation.f == "deposit":
            self.keys = {key: [str(amount)] for key, amount in value.items()} | self.keys
        elif operation.f == "append":
            self.keys[operation.key] = [",".join([*self.keys.get(operation.key, []), value])]
        elif self.agrees(operation):
            self.transfer(operation) if operation.f == "transfer" else self.keys.update({operation.key: [value]})

    def transfer(self, operation: Operation) -> None:
        """Money from one account to another, and a line in the ledger."""
        self.keys.setdefault(operation.key, []).append("booked")
        amount = operation.value["amount"]
        for account, more in ((operation.value["from"], -amount), (operation.value["to"], amount)):
            self.keys[account] = [str(int(self.keys[account][0]) + more)]


def shared(name: str, seed: int, fates: list[tuple[int, str]]) -> tuple[list[Operation], Shared]:
    """A history of a workload whose clients meet, on a correct store, with its final reads."""
    store, workload, last = Shared(), workload_named(name), dict[int, Operation | None]()
    todo = [workload.operations(seed, process, CLIENTS, 2, "") for process in range(CLIENTS)]
    history: list[Operation] = []
    for number, (process, fate) in enumerate([(0, "ok"), *fates]):
        history += store.perform(todo[process].send(last.get(process)), fate)
        last[process] = history[-1]
        if number % 7 == 0:
            store.settle()
    store.settle()
    return [*history, *store.final()], store


@pytest.mark.parametrize("name", ["cas", "append", "bank"])
@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 9), fates=FATES)
def test_a_correct_store_that_clients_share_is_never_invalid(name: str, seed: int, fates: list[tuple[int, str]]) -> None:
    """Whatever is refused, ambiguous or late: no checker of the workload calls it invalid."""
    history, _ = shared(name, seed, fates)
    verdicts = judge(history, workload_named(name).checkers)
    assert [verdict for verdict in verdicts if verdict.valid == "invalid"] == []


@pytest.mark.parametrize("name", ["cas", "append", "bank"])
def test_a_quiet_store_that_clients_share_is_valid(name: str) -> None:
    """With every operation answered all checkers are sure of it."""
    history, _ = shared(name, 3, [(process, "ok") for _ in range(40) for process in range(CLIENTS)])
    assert {"valid"} == {verdict.valid for verdict in judge(history, workload_named(name).checkers)}


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 9), fates=FATES, data=st.data())
def test_a_transfer_whose_money_is_gone_is_always_found(seed: int, fates: list[tuple[int, str]], data: st.DataObject) -> None:
    """One account with less than the ledger says, on one node alone, is found."""
    history, store = shared("bank", seed, [*fates, *((process, "ok") for process in range(CLIENTS) for _ in range(9))])
    account = data.draw(st.sampled_from(sorted(store.balances())))
    for operation in history:
        if operation.final and (operation.type, operation.key, operation.node) == ("ok", account, "n2"):
            operation.value = str(int(operation.value) - 1)
    (verdict,) = judge(history, ["balanced"])
    assert "invalid" == verdict.valid
    assert f"{account} has " in verdict.says
