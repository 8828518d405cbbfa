"""What was measured, as data: rows of samples with a limit each, and whether a run is worse than an earlier one."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from nodewise.errors import UnknownResult, UsageError


class Row(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One question. The samples of a contender are in the order of the rounds; one that was not measured has none."""

    name: str
    what: str
    unit: Literal["s", "ms", "operations"]
    of: Literal["ratio", "value"]  # what the limit is of: of nodewise's median to the floor's, or of nodewise's median itself
    limit: float
    floor: list[float] = []
    usual: list[float] = []
    nodewise: list[float] = []

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
    median seconds of its parts when nodewise does it, in order, from the command to its summary.
    """

    about: dict[str, Any]
    rows: list[Row]
    phases: dict[str, dict[str, float]]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")


class Change(msgspec.Struct):
    """A row's figure in an earlier run and in this one. `by` is the relative change; None when it was 0 and is not any more."""

    row: str
    before: float
    now: float
    by: float | None
    worse: bool


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


def threshold(text: str) -> float:
    """`20%` or `0.2` as 0.2. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    if not found:
        raise UsageError(f"--threshold {text}: expected how much worse a figure may be, such as 20%")
    return float(found[1]) / (100 if found[2] else 1)


def compare(before: Report, now: Report, tolerated: float) -> list[Change]:
    """How the rows that both runs have changed; all figures are better when they are smaller.

    Raises UnknownResult when there is no such row, or when one that had a figure has none any more.
    """
    earlier = {row.name: row.figure for row in before.rows if row.figure is not None}
    common = [row for row in now.rows if row.name in earlier]
    if not common:
        raise UnknownResult(f"nothing to compare: the earlier run has {', '.join(earlier) or 'no figures'}; measure the same rows")
    silent = [row.name for row in common if row.figure is None]
    if silent:
        raise UnknownResult(f"{', '.join(silent)} had a figure in the earlier run and has none now; it cannot be compared")
    return [change(row.name, earlier[row.name], row.figure, tolerated) for row in common if row.figure is not None]


def change(row: str, before: float, now: float, tolerated: float) -> Change:
    """One figure, before and now."""
    by = (now - before) / before if before else (0.0 if now == before else None)
    return Change(row, before, now, by, worse=now > before * (1 + tolerated))
