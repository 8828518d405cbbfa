# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults by name: every file here that defines one. A new fault is a new file."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from nodewise.errors import UsageError
from nodewise.fields import explained
from nodewise.simulation import faults
from nodewise.simulation.faults.fault import Fault
from nodewise.text import nearest


@cache
def kinds() -> dict[str, type[Fault]]:
    """Each kind of fault and its class: a file is named as the kind that it defines."""
    found = {}
    for one in pkgutil.iter_modules(faults.__path__):
        for value in vars(import_module(f"{faults.__name__}.{one.name}")).values():
            if isinstance(value, type) and issubclass(value, Fault) and value.__struct_config__.tag == one.name:
                found[one.name] = value
    return found


def read(given: Any) -> Fault:
    """One entry of `faults:`, as a scenario has it. Raises UsageError, in one line, with the nearest name."""
    if not isinstance(given, dict) or not isinstance(given.get("kind"), str):
        raise UsageError(f"{given!r} is no fault: expected such as {{id: a, kind: kill}}")
    kind = given["kind"]
    if kind not in kinds():
        raise UsageError(f"no fault {kind!r}{nearest(str(kind), kinds())}; there are: {', '.join(kinds())}")
    try:
        return msgspec.convert({key: value for key, value in given.items() if key != "kind"} | {"kind": kind}, kinds()[kind])
    except msgspec.ValidationError as error:
        raise UsageError(f"fault {given.get('id', kind)}: {explained(error, kinds()[kind])}") from error
