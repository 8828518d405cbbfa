# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from nodewise.bench.compare import Change
from nodewise.bench.figures import Report, Row, median, ratio
from nodewise.bench.significance import ALPHA, ENOUGH

HEAD = ("row", "floor", "usual", "nodewise", "ratio", "limit", "met", "of usual", "what")
CHANGED = ("row", "before", "now", "change", "p", "verdict")


def table(rows: Iterable[Row]) -> list[str]:
    """A line a row below a head; a column in which no row has anything is left out."""
    cells = [HEAD, *map(_cells, rows)]
    filled = [column for column in zip(*cells, strict=True) if set(column[1:]) != {"-"}]
    return _aligned(list(zip(*filled, strict=True)))


def phases(report: Report) -> list[str]:
    """Where the time of an upgrade by nodewise goes, the serial part first: a line a row that is about one."""
    return [_phases(row, parts) for row, parts in report.phases.items() if parts]


def changes(report: Report, found: Sequence[Change]) -> list[str]:
    """A line a row below a head: before, now, and what is to be said of that; and which rows could not be compared."""
    return [*_aligned([CHANGED, *map(_changed, found)]), *_alone(report, found)] if found else []


def summary(report: Report, found: Sequence[Change], before: str, tolerated: float) -> list[str]:
    """Markdown for the page of a nightly run; `before` is what was compared with, empty for nothing."""
    missed = [row.name for row in report.rows if not row.met]
    tail = ["", f"Limits not met: {', '.join(missed)}." if missed else "Every limit is met.", ""]
    if not before:
        return ["### Benchmarks: compared with nothing", "", *_markdown([HEAD, *map(_cells, report.rows)]), *tail]
    return [
        f"### Benchmarks: {_headline(found)}, compared with {before}",
        "",
        *_markdown([CHANGED, *map(_changed, found)]),
        "",
        f"Worse: more than {tolerated:.0%} in the median, and p ≤ {ALPHA:g} by an exact rank-sum test over at least {ENOUGH}",
        "samples of each side. Confirmed: a second measurement says so, too; then the figures of both are shown.",
        *_alone(report, found),
        *tail,
    ]


def _headline(found: Sequence[Change]) -> str:
    counts = Counter(change.verdict for change in found)
    if worse := counts["worse (confirmed)"]:
        return f"{worse} worse"
    if few := counts["too few samples"]:
        return f"{few} could not be compared"
    return "no regression"


def _alone(report: Report, found: Sequence[Change]) -> list[str]:
    compared = {change.row.name for change in found}
    alone = [row.name for row in report.rows if row.name not in compared]
    return [f"Not compared, as the other side has no figures: {', '.join(alone)}."] if alone else []


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _markdown(cells: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = [f"| {' | '.join(line)} |" for line in cells]
    return [head, f"|{'---|' * len(cells[0])}", *rest]


def _phases(row: str, parts: dict[str, float]) -> str:
    whole, serial = sum(parts.values()), parts.get("roll", 0.0)
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items())
    return f"{row} by nodewise: {serial:.1f} s serial (roll), {whole - serial:.1f} s the rest: {told}"


def _cells(row: Row) -> tuple[str, ...]:
    amounts = (_amount(median(samples), row.unit) for samples in (row.floor, row.usual, row.nodewise))
    limit = f"{row.limit:g}" if row.of == "ratio" else _amount(row.limit, row.unit)
    met, usual = "yes" if row.met else "NO", _ratio(ratio(row.nodewise, row.usual))
    return (row.name, *amounts, _ratio(row.ratio), limit, met, usual, row.what)


def _changed(one: Change) -> tuple[str, ...]:
    """Of two measurements both figures, but for `before`: that of the first."""
    taken = [one, one.again] if one.again else [one]
    unit = "" if one.row.of == "ratio" else one.row.unit
    now, by, p = (" / ".join(cells) for cells in zip(*(_figures(each, unit) for each in taken), strict=True))
    return one.row.name, _amount(one.before, unit), now, by, p, one.verdict


def _figures(one: Change, unit: str) -> tuple[str, str, str]:
    by = "from nothing" if one.by is None else f"{one.by:+.0%}"
    return _amount(one.now, unit), by, _probability(one.p)


def _probability(p: float | None) -> str:
    least = 0.001
    return "-" if p is None else f"{p:.3f}" if p >= least else f"<{least}"


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "ms":
        return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"  # noqa: PLR2004
    if unit == "MB":
        return f"{value:.0f} MB"
    return f"{value:.2f} s" if unit == "s" else f"{value:g}" if unit else _ratio(value)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
