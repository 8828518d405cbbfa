# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that a scenario may say, from the code that reads it."""

from __future__ import annotations

from nodewise.fields import Field, fields, sentence
from nodewise.simulation.faults.fault import Fault
from nodewise.simulation.faults.registry import kinds
from nodewise.simulation.scenario import Scenario


def everywhere() -> list[Field]:
    """The fields of a scenario; after `faults` those that every fault has, and each kind with its own."""
    found = list(fields(Scenario))
    after = next(number for number, one in enumerate(found, 1) if one.name == "faults")
    return [*found[:after], *of_faults(), *found[after:]]


def of_faults() -> list[Field]:
    """The fields of an entry of `faults`, by the kind that they belong to."""
    common = list(fields(Fault))
    found = [Field("faults.kind", " or ".join(kinds()), "required", "which fault it is")]
    found += [one._replace(name=f"faults.{one.name}") for one in common]
    for name, kind in kinds().items():
        found.append(Field(f"faults.{name}", "kind of fault", "", sentence(kind)))
        found += [one._replace(name=f"faults.{name}.{one.name}") for one in fields(kind) if one not in common]
    return found
