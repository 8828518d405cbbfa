# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a history says about each key: who tried to write what, when, and what came of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nodewise.model import Operation

WRITES = ("write", "add", "cas")  # operations after which their key has their value
READS = ("read", "balances")


class Attempt(NamedTuple):
    """An invocation with its completion. `until` is when it can no longer take effect, in ns.

    An attempt that ended `info`, or never ended, can take effect at any later time, long after its client went on: for it `until`
    is infinite.
    """

    asked: Operation
    done: Operation | None

    @property
    def ok(self) -> bool:
        """It was acknowledged."""
        return self.done is not None and self.done.type == "ok"

    @property
    def failed(self) -> bool:
        """It certainly never happened."""
        return self.done is not None and self.done.type == "fail"

    @property
    def until(self) -> float:
        """The end of the time in which it may take effect."""
        return self.done.time if self.done and self.ok else math.inf

    @property
    def value(self) -> Any:
        """What was written, or read."""
        return (self.done or self.asked).value if self.ok else self.asked.value


def attempts(history: Iterable[Operation]) -> list[Attempt]:
    """Invocations with their completions, in the order of invocation.

    Raises `ValueError` for a history that no clients can have had: two operations of one process at once, or an end without a
    beginning.
    """
    found: list[tuple[Operation, list[Operation]]] = []
    pending: dict[Any, list[Operation]] = {}
    for operation in history:
        if operation.type == "invoke":
            if operation.process in pending:
                raise ValueError(f"process {operation.process} began {operation.f} of {operation.key} before its last one ended")
            found.append((operation, pending.setdefault(operation.process, [])))
        elif operation.process not in pending:
            raise ValueError(f"process {operation.process} ended {operation.f} of {operation.key} that it never began")
        else:
            pending.pop(operation.process).append(operation)
    return [Attempt(asked, done[0] if done else None) for asked, done in found]


def writes(history: Iterable[Operation]) -> Mapping[Any, list[Attempt]]:
    """Attempts to write, by key; those that certainly failed are in it too."""
    found: dict[Any, list[Attempt]] = defaultdict(list)
    for attempt in attempts(history):
        if attempt.asked.f in WRITES:
            found[attempt.asked.key].append(attempt)
    return found


def writers(history: Iterable[Operation]) -> Mapping[tuple[Any, Any], list[Attempt]]:
    """Attempts by key and value, those alone that may have written it; too many to look through for each read."""
    found: dict[tuple[Any, Any], list[Attempt]] = defaultdict(list)
    for attempt in attempts(history):
        if attempt.asked.f in WRITES and not attempt.failed:
            found[attempt.asked.key, attempt.value].append(attempt)
    return found


def reads(history: Iterable[Operation], *, final: bool | None = None) -> list[Attempt]:
    """Attempts to read; only the final ones, or only the others, when asked."""
    return [a for a in attempts(history) if a.asked.f == "read" and final in (None, a.asked.final)]


def overwritten(value: Any, wrote: Iterable[Attempt], before: float = math.inf) -> Attempt | None:
    """The acknowledged write, if there is one, that makes it impossible for a read invoked at `before` to return `value`.

    A value is impossible when a write of another one was acknowledged before the read was invoked, and was itself invoked after
    the last attempt to write `value` was over; None, as a value, comes before all writes.
    """
    wrote = list(wrote)
    over = max((a.until for a in wrote if a.value == value and not a.failed), default=-math.inf)
    # Only what was acknowledged has an end, so what is left here is acknowledged.
    later = [a for a in wrote if a.value != value and a.asked.time > over and a.until < before]
    return max(later, key=lambda a: a.asked.time, default=None)
