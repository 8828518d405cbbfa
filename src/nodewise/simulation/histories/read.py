# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A saved history of any known format, as operations: ours, the logs of Jepsen's etcd test, and EDN.

What is no history is told by its line and column, and is never judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeGuard

import msgspec

from nodewise.errors import UsageError
from nodewise.model import Operation
from nodewise.simulation.histories import edn

TYPES = ("invoke", "ok", "fail", "info")
VALUED = ("read", "write", "cas")  # operations whose value has the key before it, where a history is of several registers
LOGGED = re.compile(r".*jepsen\.util - *(\S+)\s+:(\w+)\s+:(\S+)\s+(\S.*?)\s*")
BYTE, FIELD = re.compile(r"\(byte (\d+)\)"), re.compile(r"\$\.(\w+)")


class _OffError(ValueError):
    """What is wrong, and where: line and column, from 1."""

    def __init__(self, what: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {what}")


Read = tuple[Operation, int]  # an operation, and the line that it was read from


def read_any(path: Path) -> Iterator[Operation]:
    """The operations of a saved history, one after the other; how it begins tells its format. Raises UsageError, also midway.

    `time` is nanoseconds where the history is ours. In others the order of lines counts, and it is a number of its own.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(1 << 16).lstrip()
            file.seek(0)
            found = _checked(_reader(begin)(file))
            if (first := next(found, None)) is None:
                raise UsageError(f"{path} has no operations; expected a history.jsonl, EDN, or a log of Jepsen's")
            yield first
            yield from found
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a history: {error.object[error.start]:#x} is not UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path}: no history can be read there ({error.strerror})") from error
    except _OffError as error:
        raise UsageError(f"{path}, {error}. A damaged history is not judged.") from error


def _reader(begin: bytes) -> Callable[[IO[bytes]], Iterator[Read]]:
    if re.match(rb'\{\s*"', begin):
        return _of_ours
    return _of_edn if begin[:1] in (b"{", b"[", b"#", b";", b"(") else _of_log


def _of_ours(file: IO[bytes]) -> Iterator[Read]:
    """JSON lines, as a run's history.jsonl has them. A line without its end was cut."""
    decode = msgspec.json.Decoder(Operation).decode
    for number, line in enumerate(file, start=1):
        try:
            operation = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if line.strip():
                raise _OffError(f"no operation: {error}", number, _column(line, str(error))) from error
            continue
        if line[-1:] != b"\n":
            raise _OffError("the line is cut", number, len(line) + 1)
        yield operation, number


def _column(line: bytes, said: str) -> int:
    """Where a line is off, by msgspec's words."""
    if byte := BYTE.search(said):
        return int(byte[1]) + 1
    field = FIELD.search(said)
    return max(0, line.find(f'"{field[1]}"'.encode())) + 1 if field else len(line.rstrip()) + 1 if "truncated" in said else 1


def _of_log(file: IO[bytes]) -> Iterator[Read]:
    """Lines `INFO jepsen.util - PROCESS :TYPE :OP VALUE`. Other lines of a log are passed over, and what the nemesis did.

    A line without its end was cut.
    """
    order = 0
    for number, raw in enumerate(file, start=1):
        line = raw.decode()
        ours = "jepsen.util - " in line and not re.search(r"- +:nemesis", line)
        found = LOGGED.fullmatch(line.rstrip("\n")) if ours else None
        if ours and (not found or not found[1].isdecimal()):
            raise _OffError("expected PROCESS :TYPE :OP VALUE", number, line.index("jepsen.util") + 1)
        if line[-1:] != "\n":  # its value may have been longer
            raise _OffError("the line is cut", number, len(line) + 1)
        if not found:
            continue
        order += 1
        try:
            said = {"process": int(found[1]), "type": found[2], "f": found[3], "value": edn.value(found[4])}
        except edn.EdnError as error:
            raise _OffError(str(error), number, found.start(4) + error.at + 1) from error
        yield _operation(said, number, order, compared=True), number


def _of_edn(file: IO[bytes]) -> Iterator[Read]:
    """Maps with :process, :type, :f and :value, as Jepsen saves them. A key is in :key, or stands before the value."""
    try:
        maps = (form for form in edn.forms(raw.decode() for raw in file) if _of_client(*form))
        for order, (one, line) in enumerate(_keyed(maps), start=1):
            yield _operation(one, line, order), line
    except edn.EdnError as error:
        raise _OffError(str(error), error.line, error.at + 1) from error


def _of_client(one: Any, line: int) -> bool:
    """Whether a form is an operation of a client, and not of the nemesis. Raises _OffError for what is no operation."""
    if not isinstance(one, dict):
        raise _OffError("expected a map with :process, :type and :f", line, 1)
    if lacks := [name for name in ("process", "type", "f") if name not in one]:
        raise _OffError(f"an operation without :{lacks[0]}", line, 1)
    return isinstance(one["process"], int)


def _keyed(maps: Iterator[edn.Form]) -> Iterator[edn.Form]:
    """Operations with their keys, of a history of several registers: there all values have a key before them.

    One register's read is asked for with nil, never with a pair. So nothing is held back longer than until it is known.
    """
    held: list[edn.Form] = []
    for form in maps:
        one = form.value
        if one["f"] in VALUED and not _has_key(one):
            yield from (*held, form)
            yield from maps
            return
        if held or one["f"] in VALUED:
            held.append(form)
        else:
            yield form
    for form in held:
        if form.value["f"] in VALUED:
            form.value["key"], form.value["value"] = form.value["value"]
        yield form


def _has_key(one: Mapping[str, Any]) -> bool:
    value = one.get("value")
    return _pair(value) and (one["f"] != "cas" or _pair(value[-1]))


def _pair(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and len(value) == 2  # noqa: PLR2004


def _operation(one: Mapping[str, Any], line: int, order: int, *, compared: bool = False) -> Operation:
    """An operation at its place in the order. `compared`: a cas that failed had found another value."""
    kind, f, value, old = one["type"], one["f"], one.get("value"), None
    if kind not in TYPES:
        raise _OffError(f"an operation of type {kind!r}; expected one of {', '.join(TYPES)}", line, 1)
    if not isinstance(f, str):
        raise _OffError(f"an operation with :f {f!r}; expected a keyword", line, 1)
    refused = False
    if f == "cas" and _pair(value):
        (old, value), refused = value, compared and kind == "fail"
    elif f == "cas" and kind == "invoke":
        raise _OffError(f"a cas of {value!r}; expected [old new]", line, 1)
    return Operation(one["process"], kind, f, one.get("key"), value, order, old=old, refused=refused)


def _checked(found: Iterable[Read]) -> Iterator[Operation]:
    """The operations, as long as no process does two things at once, or ends what it did not begin."""
    begun: dict[int, str] = {}
    for operation, line in found:
        process = operation.process
        if operation.type == "invoke":
            if process in begun:
                raise _OffError(f"process {process} begins {operation.f} before its {begun[process]} has ended", line, 1)
            begun[process] = operation.f
        elif begun.pop(process, None) != operation.f:
            raise _OffError(f"process {process} ends {operation.f}, which it has not begun", line, 1)
        yield operation
