# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Operations as a drawing for a terminal: a row a process, and time from left to right, by order and not by scale."""

from __future__ import annotations

from collections.abc import Sequence

from nodewise.model import Operation
from nodewise.simulation.checkers.attempts import Attempt, attempts

LABEL = 36  # characters of an operation


def drawing(operations: Sequence[Operation]) -> list[str]:
    """The lines. An operation that never ended is open to the right."""
    found = attempts(sorted(operations, key=lambda one: (one.time, one.type != "invoke")))
    times = sorted({time for one in found for time in (one.asked.time, one.until)})
    column = _columns(found, times)
    rows: dict[int, str] = {}
    for one in found:
        begin, end = column[one.asked.time], column[one.until]
        room = end - begin - 1
        bar = f"├{f' {_label(one)} '.center(room, '─')}{'┤' if one.ok or one.failed else '┄'}"
        rows[one.asked.process] = rows.get(one.asked.process, "").ljust(begin) + bar
    width = max((len(str(process)) for process in rows), default=0)
    return [f"  process {process:>{width}}  {row}" for process, row in sorted(rows.items())]


def _columns(found: Sequence[Attempt], times: Sequence[float]) -> dict[float, int]:
    """A column for each time: as far to the left as the labels allow."""
    column: dict[float, int] = {}
    at = 0
    for time in times:
        for one in found:
            if one.until == time:
                at = max(at, column[one.asked.time] + len(_label(one)) + 4)
        column[time] = at
        at += 2
    return column


def _label(one: Attempt) -> str:
    asked = one.asked
    value = (
        f"{asked.old!r}→{asked.value!r}" if asked.f == "cas" else "" if one.value is None and asked.f != "read" else repr(one.value)
    )
    said = f"{asked.f} {value}".strip() + (" refused" if one.failed else "")
    return said if len(said) <= LABEL else f"{said[: LABEL - 11]}…{said[-10:]}"
