# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a file whole or not at all: readers see the old one or the new one, and the disk has it."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import msgspec


def write(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a file, in the place of one that is there; `mode` is less the umask."""
    stage(path, content, mode).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # without it a crash of the machine may bring the old file back
    finally:
        os.close(folder)


def as_json(value: Any) -> bytes:
    """A value as JSON that is read by people, too."""
    return msgspec.json.format(msgspec.json.encode(sound(value))) + b"\n"


def sound(value: Any) -> Any:
    """A value as plain data whose texts can be written: halves of characters, as bytes become that are no UTF-8, are "?"."""
    plain = msgspec.to_builtins(value)
    try:
        msgspec.json.encode(plain)
    except UnicodeEncodeError:
        return json.loads(json.dumps(plain, ensure_ascii=False).encode(errors="replace"))
    return plain


def stage(path: Path, content: str | bytes, mode: int = 0o666) -> Path:
    """Write it beside its place, for a `replace` when others are ready, too; of one that cannot be written nothing is left."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def nearby(path: Path) -> Path:
    """A path as a user types it: from the working folder on, where it lies below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and here != here.parent else path
