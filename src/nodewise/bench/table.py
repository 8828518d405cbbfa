"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Iterable

from nodewise.bench.figures import Change, Report, Row, median, ratio

HEAD = ("row", "floor", "usual", "nodewise", "ratio", "limit", "met", "of usual", "what")


def table(rows: Iterable[Row]) -> list[str]:
    """A line a row below a head; columns are as wide as they have to be."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def phases(report: Report) -> list[str]:
    """Where the time of an upgrade by nodewise goes, the serial part first: a line a row that is about one."""
    return [_phases(row, parts) for row, parts in report.phases.items() if parts]


def changes(found: Iterable[Change], tolerated: float) -> list[str]:
    """A line a row: before, now, and whether that is a regression."""
    return [_change(one, tolerated) for one in found]


def _phases(row: str, parts: dict[str, float]) -> str:
    whole, serial = sum(parts.values()), parts.get("roll", 0.0)
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items())
    return f"{row} by nodewise: {serial:.1f} s serial (roll), {whole - serial:.1f} s the rest: {told}"


def _cells(row: Row) -> tuple[str, ...]:
    amounts = (_amount(median(samples), row.unit) for samples in (row.floor, row.usual, row.nodewise))
    limit = f"{row.limit:g}" if row.of == "ratio" else _amount(row.limit, row.unit)
    met, usual = "yes" if row.met else "NO", _ratio(ratio(row.nodewise, row.usual))
    return (row.name, *amounts, _ratio(row.ratio), limit, met, usual, row.what)


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if unit == "s" else f"{value:.0f} ms" if unit == "ms" else f"{value:g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _change(one: Change, tolerated: float) -> str:
    by = "from nothing" if one.by is None else f"{one.by:+.0%}"
    return f"{one.row}: {one.before:.2f} -> {one.now:.2f} ({by}){f', WORSE by more than {tolerated:.0%}' if one.worse else ''}"
