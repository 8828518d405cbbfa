# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of what clients asked for and what they were told: JSONL, one `Operation` a line, in the order they happened."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from nodewise.errors import UnknownResult, UsageError
from nodewise.model import Operation

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Operation)


class History:
    """Appends operations to a file, from any thread. Each line is one write(2), so that a kill loses no line that was written."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self._start = time.monotonic_ns()
        self.path = path

    def now(self) -> int:
        """Nanoseconds since this history began."""
        return time.monotonic_ns() - self._start

    def append(self, operation: Operation) -> None:
        """Write one line; the caller has set its time."""
        line = _encoder.encode(operation) + b"\n"
        with self._lock:
            os.write(self._file, line)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_history(path: Path) -> list[Operation]:
    """All operations of a recorded history. A torn last line is left out; any other line that is off is an `UnknownResult`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: no history can be read there ({error.strerror}). Name a run's history.jsonl.") from error
    return list(_decode(path, data))


def _decode(path: Path, data: bytes) -> Iterator[Operation]:
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is a torn line, or nothing
        try:
            yield _decoder.decode(line)
        except msgspec.DecodeError as error:
            raise UnknownResult(f"{path}, line {number} is no operation: {error}. A damaged history cannot be judged.") from error
