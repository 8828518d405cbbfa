"""What is missing from an observation, and waiting for it."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.host import observation
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure

HEALTHY = json.loads((Path(__file__).parents[1] / "cases" / "etcd_info" / "idle-compacted-at-its-head.json").read_text())[
    "observation"
]
WHOLE = {
    "members": ["n1", "n2", "n3"],
    "serving": True,
    "leader": True,
    "fingerprint": True,
    "versions": {"n1": "3.4.23"},
    "max_lag": 10,
    "cluster_version": "3.4",
}


def changed(**fields: Any) -> dict[str, Any]:
    """A healthy observation whose second member has other fields."""
    value = deepcopy(HEALTHY)
    value["members"][1].update(fields)
    return value


def test_nothing_is_missing_from_a_healthy_cluster() -> None:
    """A healthy, idle cluster that is compacted at its head settles on everything that can be asked for."""
    assert observation.missing(HEALTHY, WHOLE) == []


@pytest.mark.parametrize(
    ("fields", "settled", "line"),
    [
        ({"serving": False, "errors": ["connection refused"]}, {"serving": True}, "n2: not serving (connection refused)"),
        ({"version": None}, {"versions": {"n2": "3.4.23"}}, "n2: runs an unknown version, expected 3.4.23"),
        ({"version": "3.5.16"}, {"versions": {"n2": "3.4.23"}}, "n2: runs 3.5.16, expected 3.4.23"),
        ({"role": "leader"}, {"leader": True}, "2 leaders (n1, n2), expected one"),
        ({"lag": 11}, {"max_lag": 10}, "n2: lag 11, expected at most 10"),
        ({"lag": None}, {"max_lag": 10}, "n2: lag unknown, expected at most 10"),
        ({"name": "n9"}, {"members": ["n1", "n2", "n3"]}, "n2: not among the members"),
    ],
)
def test_what_is_missing_is_named(fields: dict[str, Any], settled: dict[str, Any], line: str) -> None:
    """Each thing that is not so gives a line with what was found and what was expected."""
    assert line == observation.missing(changed(**fields), settled)[0]


@pytest.mark.parametrize("value", [None, "1@2"])
def test_a_fingerprint_that_differs_or_is_unknown_is_missing(value: str | None) -> None:
    """Equal fingerprints are those that all members have; an unknown one is never equal."""
    assert observation.missing(changed(fingerprint=value), {"fingerprint": True})


def test_fingerprints_that_nobody_has_are_not_equal() -> None:
    """Null on every member is unknown, and unknown is failure."""
    value = deepcopy(HEALTHY)
    for member in value["members"]:
        member["fingerprint"] = None
    assert observation.missing(value, {"fingerprint": True})


def test_a_leader_that_not_all_see_is_missing() -> None:
    """A leader counts when the cluster agrees on it, not when one member says so of itself."""
    value = deepcopy(HEALTHY)
    value["cluster"]["leader"] = None
    assert observation.missing(value, {"leader": True}) == ["n1 leads, and not all members say so"]


def test_a_cluster_without_members_is_not_serving() -> None:
    """An empty list never passes."""
    value = dict(deepcopy(HEALTHY), members=[])
    asked = ("members", "serving", "leader", "fingerprint", "versions")
    assert [] not in [observation.missing(value, {key: WHOLE[key]}) for key in asked]


def test_an_unknown_condition_is_an_error() -> None:
    """A condition that nobody checks must not pass for one that holds."""
    with pytest.raises(Failure, match="unknown colour"):
        observation.missing(HEALTHY, {"colour": "blue"})


def waits(
    looks: list[dict[str, Any]], completed: dict[str, Any], deadline: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], list[str], int, float]:
    """Settle over prepared looks, with a clock that moves one second a look."""
    moments = iter(range(100))
    monkeypatch.setattr(observation.time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(observation.time, "sleep", lambda _seconds: None)
    left = iter(looks)
    return observation.settle(lambda: next(left), lambda: completed, {"serving": True, "fingerprint": True}, deadline)


def test_what_is_expensive_is_asked_for_once_the_rest_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fingerprints are compared after the members serve, and the observation that is returned has them."""
    cheap = changed(fingerprint=None)
    found, lacking, polls, _seconds = waits([changed(serving=False), cheap], HEALTHY, 50, monkeypatch)
    assert (HEALTHY, [], 2) == (found, lacking, polls)


def test_at_the_deadline_the_last_observation_is_whole_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline is no failure: what is missing is returned."""
    down = changed(serving=False)
    found, lacking, _polls, _seconds = waits([down] * 9, down, 3, monkeypatch)
    assert down == found
    assert lacking == ["n2: not serving (no reason given)"]


def test_nobody_waits_for_a_cluster_of_its_own() -> None:
    """A member that left the cluster takes writes that are lost: the look ends at once, however long it might go on."""
    apart = {"name": "n1", "serving": True, "errors": [], "version": "1", "details": {"apart": {"cluster": "c2"}}}
    seen = {"members": [apart], "cluster": {"leader": None}}
    wanted = {"versions": {"n1": "2"}}
    assert (seen, ["n1: runs 1, expected 2"], 1) == observation.settle(lambda: seen, lambda: seen, wanted, 600)[:3]
