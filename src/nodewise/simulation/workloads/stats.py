# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a load can say of itself at any moment, cheaply: counters and a histogram of fixed size."""

from __future__ import annotations

import math
import threading
from collections import Counter

import msgspec

_STEP = math.log(1.05)  # buckets 5 % apart: a percentile is off by no more


class Stats(msgspec.Struct):
    """A load so far. An operation is what a client wanted, however many attempts it took.

    `ok`: acknowledged. `failed`: certain not to have happened, on any member, until its deadline. `info`: given up on, and may
    have happened. `retries`: attempts beyond the first. Latencies are of acknowledged operations with their retries.
    `longest_stall_ms`: the longest that any one client went from one acknowledged operation (or the load's start) to its next
    one (or now, or the load's end), retries and the pause that the rate asks for included.
    """

    ops: int = 0
    ok: int = 0
    failed: int = 0
    info: int = 0
    retries: int = 0
    rate: float = 0.0  # acknowledged in the last whole second
    p50_ms: float | None = None
    p99_ms: float | None = None
    longest_stall_ms: float = 0.0
    lost: int | None = None  # None until a checker has said


class Latencies:
    """A histogram with logarithmic buckets, from a microsecond up."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._count = 0

    def add(self, seconds: float) -> None:
        """Count one latency."""
        self._buckets[max(0, math.ceil(math.log(max(seconds, 1e-6) * 1e6) / _STEP))] += 1
        self._count += 1

    def percentile_ms(self, percent: float) -> float | None:
        """The latency in milliseconds that this percentage stayed within; None when nothing was counted."""
        wanted, seen = self._count * percent / 100, 0
        for bucket, count in sorted(self._buckets.items()):
            seen += count
            if seen >= wanted:
                return round(math.exp(bucket * _STEP) / 1000, 3)
        return None


class Tally:
    """What a load's clients report, from their threads. Times are seconds of a monotonic clock."""

    def __init__(self, clients: int) -> None:
        self._lock = threading.Lock()
        self._stats = Stats()
        self._latencies = Latencies()
        self._acknowledged_at = [0.0] * clients
        self._longest = 0.0
        self._second = [0, 0, 0]  # which second it is, acknowledged in it, acknowledged in the one before
        self._ended: float | None = None

    def begin(self, now: float) -> None:
        """Clients begin to be waited for."""
        self._acknowledged_at = [now] * len(self._acknowledged_at)
        self._ended = None

    def end(self, now: float) -> None:
        """Nothing new is asked for any more: a client that is done is not waited for."""
        with self._lock:
            self._ended = now

    def acknowledged(self, process: int, began: float, now: float) -> None:
        """A client's operation, begun then, is acknowledged now."""
        with self._lock:
            self._stats.ops += 1
            self._stats.ok += 1
            self._latencies.add(now - began)
            self._longest = max(self._longest, now - self._acknowledged_at[process])
            self._acknowledged_at[process] = now
            self._tick(now)
            self._second[1] += 1

    def gave_up(self, ambiguous: bool) -> None:
        """An operation is over without an acknowledgement."""
        with self._lock:
            self._stats.ops += 1
            self._stats.info += ambiguous
            self._stats.failed += not ambiguous

    def retried(self) -> None:
        """One more attempt is made for an operation."""
        with self._lock:
            self._stats.retries += 1

    def stats(self, now: float) -> Stats:
        """A copy of what is known now."""
        with self._lock:
            self._tick(now)
            waiting = max((now if self._ended is None else self._ended) - at for at in self._acknowledged_at)
            return msgspec.structs.replace(
                self._stats,
                rate=float(self._second[2]),
                p50_ms=self._latencies.percentile_ms(50),
                p99_ms=self._latencies.percentile_ms(99),
                longest_stall_ms=round(max(self._longest, waiting) * 1000, 1),
            )

    def _tick(self, now: float) -> None:
        second, count, _ = self._second
        if int(now) != second:
            self._second = [int(now), 0, count if int(now) == second + 1 else 0]
