"""What has to hold before a scenario begins: each precondition with a case in which it does not."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.errors import SetupError, UnknownResult, UsageError
from nodewise.model import Observation
from nodewise.simulation import preconditions
from nodewise.simulation.faults.host import Host, Scene
from nodewise.simulation.observing import Observer
from nodewise.simulation.preconditions import HOLDS, Setting, require
from nodewise.simulation.schedule import plan
from nodewise.testnet import state
from tests.unit.observed import observation

NET = state.Testnet("dev", tuple(state.Node(f"n{number}", f"10.0.0.{number}") for number in (1, 2, 3)), "10.0.0.0/24")


class Seen(Observer):
    """Sees what it is told to see."""

    def __init__(self, seen: Observation | str) -> None:
        super().__init__(NET, Path("/nowhere"))
        self.seen, self.looks = seen, 0

    def _look(self) -> Observation:
        self.looks += 1
        if isinstance(self.seen, str):
            raise UnknownResult(self.seen)
        return self.seen


class Says:
    """A host that says this, whatever it is asked."""

    def __init__(self, name: str, says: str) -> None:
        self.name, self.address, self._says = name, name, says

    def run(self, script: str, timeout: float = 20) -> str:
        """Say it."""
        del script, timeout
        return self._says


def setting(seen: Observation | str, says: str = "") -> Setting:
    """A cluster that looks like this, on hosts that say this."""
    hosts: dict[str, Host] = {node.name: Says(node.name, says) for node in NET.nodes}
    events = plan([{"id": "a", "kind": "kill", "unit": "elsewhere"}], 3, 1)
    return Setting(Seen(seen), Scene(hosts, list(hosts), "unit", lambda: "n1"), events)


def cluster(**changed: Any) -> Observation:
    """Three members, the last of which is changed."""
    well = observation()
    return msgspec.structs.replace(well, members=[*well.members[:2], msgspec.structs.replace(well.members[2], **changed)])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not hold at once does not hold."""
    monkeypatch.setattr(preconditions, "PATIENCE", 0.0)


def test_all_hold() -> None:
    """Nothing is said, and the cluster is looked at once."""
    here = setting(cluster())
    require(list(HOLDS), here)
    assert isinstance(here.observer, Seen)
    assert 1 == here.observer.looks


@pytest.mark.parametrize(
    ("name", "here", "says"),
    [
        ("healthy", setting(cluster(serving=False)), "healthy does not hold: members_serving: not every member serves; found"),
        ("healthy", setting(cluster(name="n9")), "healthy does not hold: members_expected: the cluster's members are not those"),
        ("healthy", setting(cluster(errors=["on fire"])), "healthy does not hold: no_errors: members report errors; found"),
        ("healthy", setting("nobody answers"), "healthy does not hold: nobody answers"),
        (
            "versions_equal",
            setting(cluster(version="9.9.9")),
            "versions_equal does not hold: versions_equal: the members do not all",
        ),
        ("versions_equal", setting(cluster(version=None)), "versions_equal does not hold: versions_equal: the members do not all"),
        (
            "no_foreign_faults",
            setting(cluster(), "cut"),
            "no_foreign_faults does not hold: n1 holds cut; heal it with: testnet heal",
        ),
    ],
)
def test_one_does_not_hold(name: Any, here: Setting, says: str) -> None:
    """It is the set-up's fault, exit code 4, and said in a line with what was found."""
    with pytest.raises(SetupError) as raised:
        require([name], here)
    assert 4 == raised.value.exit_code
    assert str(raised.value).startswith(f"precondition {says}")
    assert "\n" not in str(raised.value)


def test_a_fault_that_hosts_cannot_do() -> None:
    """It is bad input, exit code 2, in a line."""
    with pytest.raises(UsageError, match=r"^a: n1 cannot do this: there is no unit$") as raised:
        require(["fault_capable"], setting(cluster(), "there is no unit"))
    assert 2 == raised.value.exit_code


def test_a_condition_is_asked_until_it_is_true() -> None:
    """As gates are: exactly true, about the observation of the moment and the first one."""
    observer = Seen(cluster())
    assert observer.until("length(now.members) == `3` && now == before", lambda: observer.looks > 3)
    assert not observer.until("now.members", lambda: observer.looks > 5)  # something, and not true
    assert not Seen("nobody answers").until("`true`", iter([False, False, True]).__next__)
