"""Data in bulk: written through one node, and compared through every one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodewise.errors import SetupError, UsageError
from nodewise.model import Operation
from nodewise.simulation.scenario import ClusterSpec, Scenario
from nodewise.simulation.workloads.client import Client
from nodewise.simulation.workloads.volume import SIZE, Volume


class Kept(Client):
    """A node that keeps what it is given, as long as it answers."""

    def __init__(self, values: dict[str, str], *, answers: bool = True) -> None:
        self.values, self.answers = values, answers

    def invoke(self, operation: Operation) -> Operation:
        """A write, or a read."""
        if not self.answers:
            return replace(operation, type="info", error="no answer")
        if operation.f == "write":
            self.values[operation.key] = operation.value
        return replace(operation, type="ok", value=self.values.get(operation.key))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodewise.simulation.workloads.data.PAUSE", 0)


def test_it_is_as_large_as_was_asked_for_and_follows_from_the_seed() -> None:
    """So many bytes; another seed, other keys and values."""
    one, other = (dict(Volume(seed, 2).pairs()) for seed in (1, 2))
    assert {SIZE} == set(map(len, one.values()))
    assert 2 << 20 == sum(map(len, one.values()))
    assert one == dict(Volume(1, 2).pairs())
    assert not one.keys() & other.keys()
    assert not {*one.values()} & {*other.values()}


def test_what_is_missing_or_another_is_found_on_each_member() -> None:
    """One value gone on one member, one that differs on another; a member that does not answer leaves it unknown."""
    volume, nodes = Volume(1, 1), {f"n{number}": dict[str, str]() for number in range(3)}
    for values in nodes.values():
        volume.write(Kept(values))

    def verdict(*deaf: str) -> tuple[str, str]:
        found = volume.verdict(lambda node: Kept(nodes[node], answers=node not in deaf), list(nodes))
        return found.valid, found.says

    assert ("valid", "1 MiB of data in bulk are whole on every member") == verdict()
    assert "unknown" == verdict("n1")[0]
    del nodes["n1"]["/volume/1/000003"]
    nodes["n2"]["/volume/1/000004"] = "x"
    assert ("invalid", "values of the data in bulk that are missing or others: 2 (n1: /volume/1/000003)") == verdict()


def test_what_cannot_be_written_is_no_setup() -> None:
    """The node says nothing, or its system knows no writes."""
    with pytest.raises(SetupError, match=r"1 MiB of data could not be written: write of /volume/1/000000: no answer"):
        Volume(1, 1).write(Kept({}, answers=False))
    silent = ClusterSpec("app", volume=1, variables={"nodewise_app": {"name": "x"}})
    with pytest.raises(UsageError):
        Scenario("s", silent).checked()
