# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run of a scenario, performed again from its record: with the plan that it had, to the millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from nodewise.errors import UnknownResult, UsageError
from nodewise.record import schema
from nodewise.record.run import Run
from nodewise.simulation.scenario import Scenario
from nodewise.simulation.schedule import Event


class Recorded(NamedTuple):
    """What a record says of how a run was made. `leader`: who led before the first fault, by short name, where that was known."""

    scenario: Scenario
    seed: int
    leader: str | None


def recorded(folder: Path) -> Recorded:
    """The scenario of a run, with its faults as they were drawn. Raises UsageError for what is no record of a rehearsal."""
    if not (folder / "run.json").is_file():
        raise UsageError(f"{folder} is not the record of a run; expected a folder with a run.json, such as nodewise runs lists")
    try:
        about = Run(folder).read_json("run.json")
        if "scenario" not in about:
            raise UsageError(
                f"{folder} is the record of {about.get('kind', 'something')} that no scenario asked for: nothing to repeat"
            )
        scenario = schema.as_kind(folder / "run.json", about["scenario"], Scenario)
        events = schema.as_kind(folder / "run.json", {"events": about.get("faults", [])}, _Events).events
    except UnknownResult as error:
        raise UsageError(str(error)) from None
    seed = int(about["seed"])
    found = fixed(scenario, events, seed)
    nodes, leader = {f"n{number}" for number in range(1, scenario.cluster.nodes + 1)}, about.get("leader")
    for names in [*({*event.order} for event in events), *([{leader} | nodes] if leader else [])]:
        if names != nodes:
            told = f"its faults or its leader are of {', '.join(sorted(names))}; its cluster has {', '.join(sorted(nodes))}"
            raise UsageError(f"{folder} is of another topology: {told}")
    if [event.order for event in found.events(seed)] != [event.order for event in events]:
        raise UsageError(
            f"{folder}: this version takes nodes in another order than the one that made the record; replay it with that one"
        )
    return Recorded(found, seed, leader)


class _Events(msgspec.Struct):
    events: list[Event]


def fixed(scenario: Scenario, events: Sequence[Event], seed: int) -> Scenario:
    """The scenario with nothing left open: its seed, and each fault at its time."""
    faults = [{**_said(event.fault), "at": event.at, "for": event.lasts} for event in events]
    return msgspec.structs.replace(scenario, seed=seed, faults=faults)


def _said(fault: dict[str, object]) -> dict[str, object]:
    """A fault without the fields that say nothing."""
    return {key: value for key, value in fault.items() if value not in ("", None)}


def command(folder: Path) -> str:
    """The command that performs a run again."""
    return f"testnet replay {folder}"
