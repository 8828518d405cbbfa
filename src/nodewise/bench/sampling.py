# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One sample of a hot path, in a process of its own: `python -m nodewise.bench.sampling plan-1000` prints it as JSON.

What is taken is processor time, as other processes are then left out of it; yet they halve the speed of a processor that they
share. So a fixed workload, the calibration, runs in turns with the path, and what is compared is the ratio (docs/adr/0060).
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nodewise.bench.paths import paths
from nodewise.testnet.home import checkout

SECONDS, SLICE = 0.5, 0.02  # of processor time: of the path in all, and of the path before it is the calibration's turn
_MEMBERS = [{"name": f"n{n}", "version": "15.18", "lag": n, "details": {"tags": ["a", {"b": "c"}]}} for n in range(40)]


class _Thing:
    def __init__(self, number: int) -> None:
        self.number = number

    def rest(self) -> int:
        return self.number % 50


def calibrate() -> int:
    """A fixed workload of about 5 ms: JSON, objects, dictionaries. Never change it: earlier samples were taken beside this one."""
    for _ in range(8):
        json.loads(json.dumps(_MEMBERS))
    groups: dict[int, list[_Thing]] = {}
    for thing in [_Thing(number) for number in range(4000)]:
        groups.setdefault(thing.rest(), []).append(thing)
    words: dict[str, list[int]] = {}
    for number in range(6000):
        words.setdefault(f"n{number % 97}", []).append(number * number % 7919)
    return sum(thing.rest() for group in groups.values() for thing in group) + sum(min(one) for one in words.values())


def sample(path: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of processor time that a call takes, and the calibration beside it."""
    path()
    calibrate()
    gc.collect()
    gc.freeze()  # collections look through what the path makes, not through its inputs
    calls = max(1, round(SLICE / _seconds(path)))
    ours, theirs = [_seconds(path, calls)], [_seconds(calibrate)]
    while sum(ours) < SECONDS:
        while sum(theirs) < sum(ours):
            theirs.append(_seconds(calibrate))
        ours.append(_seconds(path, calls))
    return 1000 * sum(ours) / len(ours) / calls, 1000 * sum(theirs) / len(theirs)


def calibration() -> float:
    """Milliseconds of processor time that the calibration takes now."""
    calibrate()
    taken = [_seconds(calibrate)]
    while sum(taken) < SECONDS / 2:
        taken.append(_seconds(calibrate))
    return 1000 * sum(taken) / len(taken)


def _seconds(path: Callable[[], object], calls: int = 1) -> float:
    began = time.process_time()
    for _ in range(calls):
        path()
    return time.process_time() - began


def main(name: str) -> None:
    """Print the sample and whose code it is of; no sample where this checkout has no such path."""
    found = {path.name: path for path in paths()}
    with tempfile.TemporaryDirectory() as folder:
        taken = sample(found[name].prepare(Path(folder))) if name in found else None
    print(json.dumps({"checkout": str(checkout()), "sample": taken}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
