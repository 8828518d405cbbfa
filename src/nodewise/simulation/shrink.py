# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making a failing scenario smaller, as long as it still fails: fewer events first, then shorter ones, then a smaller cluster.

It knows nothing of clusters: `fails` performs a scenario and says whether it failed as before. Large steps are tried before small
ones (A. Zeller, R. Hildebrandt: Simplifying and isolating failure-inducing input, 2002); whatever still fails is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from nodewise.errors import UsageError
from nodewise.simulation.faults.fault import seconds
from nodewise.simulation.scenario import Scenario

Fails = Callable[[Scenario], bool]
SHORT = 1.0  # seconds: no event is made shorter, and no pause before one


def shrunk(scenario: Scenario, fails: Fails, over: Callable[[], bool]) -> Scenario:
    """The smallest scenario that was found to fail until it was `over`, or nothing smaller did."""

    def still(tried: Scenario) -> bool:
        return not over() and sense(tried) and fails(tried)

    scenario = _while_it_fails(_without_the_upgrade, scenario, still)
    scenario = _fewest_events(scenario, still)
    for smaller in (_shorter, _fewer_at_work, _fewer_nodes):
        scenario = _while_it_fails(smaller, scenario, still)
    return scenario


def _while_it_fails(smaller: Callable[[Scenario], Iterator[Scenario]], scenario: Scenario, still: Fails) -> Scenario:
    while found := next(filter(still, smaller(scenario)), None):
        scenario = found
    return scenario


def _fewest_events(scenario: Scenario, still: Fails) -> Scenario:
    """Without each half of the events, each quarter, each one of them that the failure does not take."""
    size = len(scenario.faults)
    while size:
        begin = 0
        while begin < len(scenario.faults):
            left = scenario.faults[:begin] + scenario.faults[begin + size :]
            tried = replace(scenario, faults=[_alone(one, left) for one in left])
            scenario, begin = (tried, begin) if still(tried) else (scenario, begin + size)
        size //= 2
    return scenario


def sense(scenario: Scenario) -> bool:
    """Whether it could be planned."""
    try:
        scenario.events(scenario.drawn(None))
    except UsageError:
        return False
    return True


def _alone(event: dict[str, Any], left: list[dict[str, Any]]) -> dict[str, Any]:
    """An event that no longer waits for one that is gone."""
    there = {one["id"] for one in left}
    return {key: value for key, value in event.items() if key not in ("after", "with") or value in there}


def _shorter(scenario: Scenario) -> Iterator[Scenario]:
    """All events, or one of them, in half of the time, or begun in half of the time."""
    for key in ("for", "at"):
        every = [_half(event, key) for event in scenario.faults]
        if every != scenario.faults:
            yield replace(scenario, faults=every)
        for number, event in enumerate(scenario.faults):
            if (half := _half(event, key)) != event:
                yield replace(scenario, faults=[*scenario.faults[:number], half, *scenario.faults[number + 1 :]])


def _half(event: dict[str, Any], key: str) -> dict[str, Any]:
    half = round(seconds(event.get(key, 0))[1] / 2, 3)
    return {**event, key: half} if half >= SHORT else event


def _fewer_at_work(scenario: Scenario) -> Iterator[Scenario]:
    work = scenario.workload
    for key in ("clients", "keys"):
        if (most := getattr(work, key)) > 1:
            yield replace(scenario, workload=replace(work, **{key: most // 2}))


def _without_the_upgrade(scenario: Scenario) -> Iterator[Scenario]:
    """Without the hops, or without what follows on them."""
    if scenario.upgrade:
        yield replace(scenario, upgrade=None)
        if scenario.upgrade.then:
            yield replace(scenario, upgrade=replace(scenario.upgrade, then=None))


def _fewer_nodes(scenario: Scenario) -> Iterator[Scenario]:
    """With two nodes less: an odd number stays odd."""
    if scenario.cluster.nodes > 3:  # noqa: PLR2004 fewer are no cluster that survives anything
        yield replace(scenario, cluster=replace(scenario.cluster, nodes=scenario.cluster.nodes - 2))
