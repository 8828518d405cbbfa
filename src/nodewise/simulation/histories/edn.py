# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""EDN as Python's own values: a keyword or symbol is its name, a tagged value is the value.

edn_format reads it, at half a millisecond a map. A line that is a map of plain values, as nearly all of a history are, takes a
short cut that knows nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import edn_format

from nodewise.text import cut

_SCALAR = r'nil(?![\w-])|-?(?:0|[1-9]\d*)(?![\w./])|:[a-z][a-z-]*(?![\w./?!*+<>=&%$#:])|"[^"\\]*"'
_ITEMS = rf"(?:(?:{_SCALAR})[ ,]*)*"
_VALUE = rf"{_SCALAR}|\[ *{_ITEMS}\]|#\{{ *{_ITEMS}\}}"
_PLAIN = re.compile(rf"\s*(?:#[a-z][\w.]*)?\{{(?: *:[a-z][a-z-]* +(?:{_VALUE})(?=[ ,}}]),?)*\}}\s*", re.IGNORECASE)
_PLAIN_VALUE = re.compile(_VALUE, re.IGNORECASE)
_PAIR = re.compile(rf":([a-z][a-z-]*) +({_VALUE})", re.IGNORECASE)
_ITEM = re.compile(_SCALAR, re.IGNORECASE)
_TAG = re.compile(r"#([A-Za-z][\w.*+!?$%&=<>/-]*)")
_AT = re.compile(r"lexpos (\d+)")


class EdnError(ValueError):
    """Text that is no EDN; `at` is the offset where that shows, in the line of this number where there are several."""

    def __init__(self, what: str, at: int, line: int = 1) -> None:
        super().__init__(what)
        self.at, self.line = at, line


class Form(NamedTuple):
    """A value, and the number of its line."""

    value: Any
    line: int


def forms(lines: Iterable[str]) -> Iterator[Form]:
    """The values of a text, one after the other; those of its vector, where it is one. Raises EdnError.

    Lines of plain maps are let go of as they come, so a history may be larger than the memory is.
    """
    waiting, began = list[str](), 0
    for number, line in enumerate(_opened(lines), start=1):
        plain = _plain(line)
        if plain is None:
            began = began if waiting else number
            waiting.append(line)
        else:
            if waiting:
                yield from _read(waiting, began)
                waiting = []
            yield Form(plain, number)
    yield from _read(waiting, began)


def _opened(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a text, without the brackets of a vector that is all of it."""
    numbered = enumerate(lines, start=1)
    for number, line in numbered:
        if line.lstrip().startswith("["):
            yield from _closed(chain([(number, line.replace("[", " ", 1))], numbered))
            return
        yield line
        if line.strip():
            yield from (one for _, one in numbered)


def _closed(numbered: Iterable[tuple[int, str]]) -> Iterator[str]:
    """The lines of a vector without the bracket that ends it, in the last of them that has anything."""
    last, kept = 0, list[str]()
    for number, line in numbered:
        if line.strip():
            yield from kept
            last, kept = number, []
        kept.append(line)
    end = kept[0].rstrip() if kept else ""
    if not end.endswith("]"):
        raise EdnError("the vector that begins the file is not closed", len(end), last)
    yield from [end[:-1], *kept[1:]]


def value(text: str) -> Any:
    """The one value of a text. Raises EdnError."""
    if _ITEM.fullmatch(text):
        return _scalar(text)
    if _PLAIN_VALUE.fullmatch(text):
        return _some(text)
    found = _loads(text)
    if len(found) != 1:
        raise EdnError(f"expected one value, found {len(found)}", 0)
    return found[0]


def _plain(line: str) -> dict[str, Any] | None:
    """A map of plain values; None for anything else."""
    if not _PLAIN.fullmatch(line):
        return None
    return {key: int(said) if said.isdecimal() else _some(said) for key, said in _PAIR.findall(line)}


def _some(said: str) -> Any:
    """A plain value."""
    if said[0] == "#":
        return set(_vector(said))
    return _vector(said) if said[0] == "[" else _scalar(said)


def _vector(said: str) -> list[Any]:
    return [_scalar(one) for one in _ITEM.findall(said)]


@lru_cache(maxsize=1 << 16)
def _scalar(said: str) -> Any:
    if said[0] in ':"':
        return said[1:].rstrip('"') if said[0] == ":" else said[1:-1]
    return None if said == "nil" else int(said)


def _read(lines: Sequence[str], first: int) -> Iterator[Form]:
    """The values of lines that are not plain, from this number on. Where there is one a line, each has its own."""
    text = "".join(lines)
    try:
        found = _loads(text)
    except EdnError as error:
        before = text[: error.at]
        raise EdnError(str(error), error.at - before.rfind("\n") - 1, first + before.count("\n")) from error
    numbers = [number for number, line in enumerate(lines, start=first) if line.strip()]
    if len(numbers) != len(found):
        numbers = numbers[:1] * len(found)
    yield from map(Form, found, numbers)


def _loads(text: str) -> Sequence[Any]:
    if not text.strip():
        return []
    for tag in set(_TAG.findall(text)) - {"inst", "uuid"}:
        edn_format.add_tag(tag, _python)
    try:
        return [_python(one) for one in edn_format.loads_all(text, write_ply_tables=False)]
    except Exception as error:
        token: Any = error.args[0] if error.args else None
        if (place := getattr(token, "lexpos", None)) is not None:
            raise EdnError(f"{cut(str(token.value), 20)!r} is not expected here", place) from error
        if shown := _AT.search(str(error)):
            raise EdnError("a character that EDN does not have here", int(shown[1])) from error
        raise EdnError("it ends too early, or has a value that cannot be read", len(text.rstrip())) from error


def _python(one: Any) -> Any:
    """A value of edn_format as Python's own."""
    if isinstance(one, edn_format.Keyword | edn_format.Symbol):
        return one.name
    if isinstance(one, edn_format.MetadataValue):
        return _python(one.value)
    if isinstance(one, str):
        return str(one)
    if isinstance(one, Mapping):
        return {_hashable(_python(key)): _python(item) for key, item in one.items()}
    if isinstance(one, AbstractSet):
        return {_hashable(_python(item)) for item in one}
    return [_python(item) for item in one] if isinstance(one, Sequence) else one


def _hashable(one: Any) -> Any:
    return repr(one) if isinstance(one, list | dict | set) else one
