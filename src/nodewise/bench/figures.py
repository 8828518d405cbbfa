# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was measured, as data: rows of samples with a limit each."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from nodewise import files
from nodewise.errors import UsageError


class Row(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One question. The samples of a contender are in the order of the rounds; one that was not measured has none.

    `calibration`: milliseconds that a fixed workload took in the same round, where there is no floor to hold a sample against.
    """

    name: str
    what: str
    unit: Literal["s", "ms", "MB", "operations"]
    of: Literal["ratio", "value"]  # what the limit is of: of nodewise's median to the floor's, or of nodewise's median itself
    limit: float
    floor: list[float] = []
    usual: list[float] = []
    nodewise: list[float] = []
    calibration: list[float] = []

    @property
    def alone(self) -> bool:
        """Whether it is a time without a floor, which depends on the machine alone."""
        return self.of == "value" and self.unit in ("s", "ms")

    @property
    def ratio(self) -> float | None:
        """Nodewise's median by the floor's; None where one of them is missing or the floor is 0."""
        return ratio(self.nodewise, self.floor)

    @property
    def figure(self) -> float | None:
        """The number that the limit is about; None when it could not be measured."""
        return self.ratio if self.of == "ratio" else median(self.nodewise)

    @property
    def met(self) -> bool:
        """Whether the limit is kept; what was not measured is not."""
        return self.figure is not None and self.figure <= self.limit


class Report(msgspec.Struct, forbid_unknown_fields=True):
    """A run of the benchmark; its file is bench.json.

    `about`: versions, commit, command line, rounds, cores and load of the machine. `phases`: for each row about an upgrade, the
    median seconds of its parts when nodewise does it, in order, from the command to its summary. `before`: rows that were measured
    by an earlier commit's code, too, in turns with this one's.
    """

    about: dict[str, Any]
    rows: list[Row]
    phases: dict[str, dict[str, float]]
    before: list[Row] = []

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        files.write(path, msgspec.json.format(msgspec.json.encode(self)) + b"\n")


def median(samples: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return statistics.median(samples) if samples else None


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The ratio of medians; None where there is none."""
    above, below = median(ours), median(theirs)
    return above / below if above is not None and below else None


def load(path: Path) -> Report:
    """The report of an earlier run: its bench.json, or the folder that holds it. Raises UsageError."""
    file = path / "bench.json" if path.is_dir() else path
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}); name the bench.json of an earlier `testnet bench`") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{file} is no benchmark: {error}; name the bench.json of an earlier `testnet bench`") from error
