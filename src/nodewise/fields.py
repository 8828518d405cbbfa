# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields of structs that users write, from the code itself: each with its type, its default, and the comment beside it."""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from nodewise.text import nearest

WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
BOUNDS = {"ge": "{} or more", "gt": "more than {}", "le": "{} or less", "lt": "less than {}"}
UNKNOWN = re.compile(r"unknown field `(?P<word>[^`]+)`(?: - at `\$(?P<at>[^`]*)`)?")
VALUE = re.compile(r"Invalid enum value '(?P<word>[^']+)'(?: - at `\$(?P<at>[^`]*)`)?")


class Named(NamedTuple):
    """In an `Annotated` type: how its values are called in words."""

    words: str


class Field(NamedTuple):
    """A field: its name, what it may be, what it is unless it is said, and a sentence."""

    name: str
    type: str
    default: str
    says: str


def fields(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[Field]:
    """The fields of a struct and, after each that has some, its own."""
    hints, said = get_type_hints(struct, include_extras=True), _comments(struct)
    for one in msgspec.structs.fields(struct):
        name, kind = f"{prefix}{one.encode_name}", hints[one.name]
        inner = _struct(kind)
        says = said.get(one.name, "") or (sentence(inner) if inner else "")
        yield Field(name, "fields" if inner else _type(kind), _default(one, inner), says)
        if inner:
            yield from fields(inner, f"{name}.")


def explained(error: msgspec.ValidationError, struct: type[msgspec.Struct]) -> str:
    """What is wrong, in one line, with the name that may have been meant."""
    text = " ".join(str(error).split())
    return f"{text}{_meant(text, struct)}"


def located(error: msgspec.ValidationError, struct: type[msgspec.Struct], root: str) -> str:
    """What is wrong, in one line that begins with the path of it below `root`."""
    text = " ".join(str(error).split())
    said, _sep, at = text.partition(" - at `$")
    at = at.removesuffix("`")
    if found := UNKNOWN.search(text):
        return f"{root}{at}.{found['word']}: there is no such field{_meant(text, struct)}"
    said = said.removeprefix("Object ")
    return f"{root}{at}: {said[:1].lower()}{said[1:]}{_meant(text, struct)}"


def _meant(text: str, struct: type[msgspec.Struct]) -> str:
    for pattern in (UNKNOWN, VALUE):
        if found := pattern.search(text):
            path = [word for word in re.split(r"[.\[\]]+", found["at"] or "") if word and not word.isdigit() and word != "..."]
            known = _names(struct, path) if pattern is UNKNOWN else _choices(struct, path)
            return nearest(found["word"], known)
    return ""


def _names(struct: type[msgspec.Struct], path: list[str]) -> list[str]:
    """The names of the fields where a path leads to."""
    kinds = list(_structs(_kind(struct, path)))
    return [one.encode_name for kind in kinds for one in msgspec.structs.fields(kind)]


def _choices(struct: type[msgspec.Struct], path: list[str]) -> list[str]:
    """The words that a field may be."""
    return [str(word) for word in _words(_kind(struct, path))]


def _kind(struct: type[msgspec.Struct], path: list[str]) -> Any:
    """The type of what a path leads to; keys of mappings and places in lists are not in it."""
    kind: Any = struct
    for word in path:
        kind = next((_hints(one)[word] for one in _structs(kind) if word in _hints(one)), None)
    return kind


@cache
def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The types of its fields, by the names that users write."""
    hints = get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for inner in get_args(kind):
        yield from _structs(inner)


def _words(kind: Any) -> Iterator[object]:
    """The words of the literals that a type is made of."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    else:
        for inner in get_args(kind):
            yield from _words(inner)


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a field is, if it is one, or nothing."""
    kinds = get_args(kind) if get_origin(kind) is not Annotated and NoneType in get_args(kind) else (kind,)
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)


def _type(kind: Any) -> str:
    """A type in words."""
    inner = get_args(kind)
    if get_origin(kind) is Annotated:
        named = [one.words for one in inner[1:] if isinstance(one, Named)]
        metas = [one for one in inner[1:] if isinstance(one, msgspec.Meta)]
        bounds = [text.format(value) for one in metas for name, text in BOUNDS.items() if (value := getattr(one, name)) is not None]
        return named[0] if named else ", ".join([_type(inner[0]), *bounds])
    if get_origin(kind) is Literal:
        return " or ".join(map(str, inner))
    if get_origin(kind) is list:
        return f"list of: {_type(inner[0])}"
    if kind is dict or get_origin(kind) is dict:
        return "mapping"
    if inner:
        return " or ".join(_type(one) for one in inner if one is not NoneType)
    return WORDS.get(kind, "anything")


def _default(one: msgspec.structs.FieldInfo, inner: type[msgspec.Struct] | None) -> str:
    """What a field is unless it is said; empty for nothing."""
    if one.required:
        return "required"
    value = one.default_factory() if one.default_factory is not msgspec.NODEFAULT else one.default
    if inner or isinstance(value, msgspec.Struct) or value in (None, "", [], {}):
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)


@cache
def _comments(struct: type[msgspec.Struct]) -> dict[str, str]:
    """What stands beside each field of a struct and of those that it is made from, or on the lines above it."""
    found: dict[str, str] = {}
    for one in reversed(struct.__mro__):
        if issubclass(one, msgspec.Struct) and one.__module__.partition(".")[0] != "msgspec":
            source = textwrap.dedent(inspect.getsource(one))
            tokens = tokenize.generate_tokens(io.StringIO(source).readline)
            comments = {token.start[0]: token for token in tokens if token.type == tokenize.COMMENT}
            (body,) = ast.parse(source).body
            for node in body.body if isinstance(body, ast.ClassDef) else ():
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    found[node.target.id] = _beside(comments, node) or found.get(node.target.id, "")
    return found


def _beside(comments: dict[int, tokenize.TokenInfo], node: ast.AnnAssign) -> str:
    lines = [line for line in range(node.lineno, (node.end_lineno or node.lineno) + 1) if line in comments]
    above = node.lineno - 1
    while (not lines or lines[0] < node.lineno) and above in comments and comments[above].line.lstrip().startswith("#"):
        lines.insert(0, above)
        above -= 1
    return " ".join(comments[line].string.lstrip("# ").strip() for line in lines)


def sentence(struct: type[msgspec.Struct]) -> str:
    """The first sentence of its docstring."""
    return " ".join((inspect.getdoc(struct) or "").partition("\n\n")[0].split()).rstrip(".")
