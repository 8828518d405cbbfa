# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""JMESPath on a node, where there is no library for it: the controller sends the parsed tree, and this evaluates it."""

from __future__ import annotations

import json
from typing import Any, Callable

Tree = Any  # {"type", "children", "value"}, as jmespath.compile(text).parsed has it

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: _ordered(a, b) and a < b,
    "lte": lambda a, b: _ordered(a, b) and a <= b,
    "gt": lambda a, b: _ordered(a, b) and a > b,
    "gte": lambda a, b: _ordered(a, b) and a >= b,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "keys": list,
    "length": len,
    "max": lambda value: max(value) if value else None,
    "min": lambda value: min(value) if value else None,
    "sort": sorted,
    "sum": sum,
    "to_string": lambda value: value if isinstance(value, str) else json.dumps(value, separators=(",", ":")),
}


def evaluate(tree: Tree, value: Any) -> Any:
    """Return what an expression finds in a value, or None; ValueError for a value that a function cannot take."""
    return _KINDS[tree["type"]](tree, value)


def _ordered(a: Any, b: Any) -> bool:
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (a, b))


def _true(value: Any) -> bool:
    """To JMESPath null, false and what is empty are false, and 0 is true."""
    return value is not None and value is not False and value not in ("", [], {})


def _through(tree: Tree, value: Any) -> Any:
    """What one child finds is what the next looks at."""
    for child in tree["children"]:
        value = evaluate(child, value)
    return value


def _same(_tree: Tree, value: Any) -> Any:
    return value


def _field(tree: Tree, value: Any) -> Any:
    return value.get(tree["value"]) if isinstance(value, dict) else None


def _literal(tree: Tree, _value: Any) -> Any:
    return tree["value"]


def _index(tree: Tree, value: Any) -> Any:
    try:
        return value[tree["value"]] if isinstance(value, list) else None
    except IndexError:
        return None


def _flatten(tree: Tree, value: Any) -> Any:
    found = evaluate(tree["children"][0], value)
    if not isinstance(found, list):
        return None
    return [inner for one in found for inner in (one if isinstance(one, list) else [one])]


def _each(found: Any, tree: Tree) -> Any:
    return [told for one in found if (told := evaluate(tree, one)) is not None]


def _projection(tree: Tree, value: Any) -> Any:
    found = evaluate(tree["children"][0], value)
    return _each(found, tree["children"][1]) if isinstance(found, list) else None


def _value_projection(tree: Tree, value: Any) -> Any:
    found = evaluate(tree["children"][0], value)
    return _each(list(found.values()), tree["children"][1]) if isinstance(found, dict) else None


def _filter_projection(tree: Tree, value: Any) -> Any:
    found = evaluate(tree["children"][0], value)
    if not isinstance(found, list):
        return None
    return _each([one for one in found if _true(evaluate(tree["children"][2], one))], tree["children"][1])


def _comparator(tree: Tree, value: Any) -> Any:
    left, right = (evaluate(child, value) for child in tree["children"])
    return _COMPARED[tree["value"]](left, right)


def _function(tree: Tree, value: Any) -> Any:
    (given,) = (evaluate(child, value) for child in tree["children"])
    try:
        return _FUNCTIONS[tree["value"]](given)
    except TypeError as error:
        raise ValueError(f"{tree['value']}(): {error}") from None


def _multi_select_dict(tree: Tree, value: Any) -> Any:
    return None if value is None else {one["value"]: evaluate(one["children"][0], value) for one in tree["children"]}


def _multi_select_list(tree: Tree, value: Any) -> Any:
    return None if value is None else [evaluate(one, value) for one in tree["children"]]


def _or(tree: Tree, value: Any) -> Any:
    left = evaluate(tree["children"][0], value)
    return left if _true(left) else evaluate(tree["children"][1], value)


def _and(tree: Tree, value: Any) -> Any:
    left = evaluate(tree["children"][0], value)
    return evaluate(tree["children"][1], value) if _true(left) else left


_KINDS: dict[str, Callable[[Tree, Any], Any]] = {
    "and_expression": _and,
    "comparator": _comparator,
    "current": _same,
    "field": _field,
    "filter_projection": _filter_projection,
    "flatten": _flatten,
    "function_expression": _function,
    "identity": _same,
    "index": _index,
    "index_expression": _through,
    "literal": _literal,
    "multi_select_dict": _multi_select_dict,
    "multi_select_list": _multi_select_list,
    "not_expression": lambda tree, value: not _true(evaluate(tree["children"][0], value)),
    "or_expression": _or,
    "pipe": _through,
    "projection": _projection,
    "subexpression": _through,
    "value_projection": _value_projection,
}
