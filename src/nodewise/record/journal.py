# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The append-only record of intents, results, gates and observations: one JSON object a line, on disk before anything happens.

Writers are short-lived processes (one a task), so the order comes from a flock on the file itself. A torn last line is legal: it
is what a crash in the middle of a write leaves, and what was about to be done had then not been begun.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from nodewise import files, renamed

Kind = Literal["step", "gate", "fault", "observe", "note"]
Record = dict[str, Any]


def append(path: Path, kind: Kind, phase: Literal["begin", "end"], **fields: Any) -> Record:
    """Write one record and return it; it is on disk (fsync) when this returns."""
    return extend(path, [{"kind": kind, "phase": phase, **fields}])[0]


def extend(path: Path, records: Iterable[Record]) -> list[Record]:
    """Write records (`kind`, `phase` and their fields) in one go, under one lock and one fsync, and return them as written."""
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        torn, last = _last(file)
        now = time.time_ns()
        written = [{"t": now, "seq": seq, **one} for seq, one in enumerate(records, last + 1)]
        lines = "".join(json.dumps(one, separators=(",", ":"), default=str) + "\n" for one in written)
        file.write(b"\n" * torn + lines.encode())
        file.flush()
        os.fsync(file.fileno())
    return written


def read(path: Path) -> list[Record]:
    """All whole records, oldest first; lines that a crash tore are passed over."""
    return Reader(path).more()


class Reader:
    """Reads a journal that grows: each line once, when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._rest = path, 0, b""

    def more(self) -> list[Record]:
        """The records that were written since this was asked last; none while there is no journal."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        self._at += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return list(parse(line.decode(errors="replace") for line in lines))


def parse(lines: Iterable[str]) -> Iterator[Record]:
    """The records in lines of a journal, in today's words."""
    for line in lines:
        try:
            record = files.sound(json.loads(line)) if "\\ud" in line else json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "seq" in record:
            yield renamed.record(record)


def _last(file: Any) -> tuple[bool, int]:
    """Whether the file ends in a torn line, and the last whole record's number (0 when there is none)."""
    size = file.seek(0, os.SEEK_END)
    back = 1 << 16
    while True:  # an observation of a large cluster is one long line
        start = max(0, size - back)
        file.seek(start)
        tail = file.read(size - start)
        whole = list(parse(tail.decode(errors="replace").split("\n")))
        if whole or start == 0:
            return bool(tail) and not tail.endswith(b"\n"), whole[-1]["seq"] if whole else 0
        back *= 4
