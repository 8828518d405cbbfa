# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a suite's own gates ask about: a path that leads nowhere is null, so that its gate would fail after everything was run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jmespath

from nodewise.errors import UsageError
from nodewise.model import Gate
from nodewise.text import nearest

# Of these the first part alone begins at the top: what follows asks about its value.
RELATIVE = ("subexpression", "projection", "value_projection", "filter_projection", "pipe", "index_expression", "flatten")


def refuse_unknown(gates: Mapping[str, Gate], known: Mapping[str, Collection[str]]) -> None:
    """Raise UsageError where an expression names what is not there. `known`: the fields of each name at the top."""
    for name, gate in gates.items():
        for expression in (gate.that, gate.shows, gate.measured, gate.bound):
            for path in _paths(dict(jmespath.compile(expression).parsed)) if isinstance(expression, str) else ():
                top, _dot, field = path.partition(".")
                if top not in known or (field and field not in known[top]):
                    there = [f"{one}.{each}" for one in known for each in known[one]]
                    said = f"which is not there{nearest(path, there)}; there are: {', '.join(there)}"
                    raise UsageError(f"gate {name} asks about {path}, {said}")


def _paths(node: dict[str, Any]) -> Iterator[str]:
    """The paths of an expression from the top on, as far as two names: smoke.passed."""
    kind, children = node["type"], [child for child in node["children"] if isinstance(child, dict)]
    if kind == "field":
        yield node["value"]
    elif kind == "subexpression" and children[0]["type"] == "field":
        inner = _leading(children[1])
        yield f"{children[0]['value']}.{inner}" if inner else children[0]["value"]
    else:
        for child in children[:1] if kind in RELATIVE else children:
            yield from _paths(child)


def _leading(node: dict[str, Any]) -> str:
    """The name that a part of a path begins with, if it begins with one."""
    while node["type"] in RELATIVE:
        node = node["children"][0]
    return str(node["value"]) if node["type"] == "field" else ""
