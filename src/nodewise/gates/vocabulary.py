# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gates that can be asked: those that hold for any system stand in `common.yml` beside this file."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jmespath
import msgspec
import yaml
from jmespath.exceptions import JMESPathError

from nodewise import renamed
from nodewise.errors import Refused
from nodewise.model import Gate


def builtin_gates() -> dict[str, Gate]:
    """The gates that know no system by name."""
    return parse_gates(yaml.safe_load(resources.files("nodewise.gates").joinpath("common.yml").read_text()))


def parse_gates(table: dict[str, Any]) -> dict[str, Gate]:
    """`{name: {that, fail_msg, shows, measured, bound, waivable}}` as gates; what does not parse is refused."""
    gates = {}
    for name, fields in table.items():
        try:
            gate = msgspec.convert({"name": name, **renamed.gate(fields)}, Gate)
            for expression in (gate.that, gate.shows, gate.measured, gate.bound):
                jmespath.compile(expression) if isinstance(expression, str) else None
        except (msgspec.ValidationError, JMESPathError, TypeError) as error:
            raise Refused(
                f"gate {name} cannot be read: {str(error).splitlines()[0]}; "
                "expected {that, fail_msg, shows, measured, bound, waivable} in JMESPath"
            ) from error
        if (gate.measured is None) != (gate.bound is None):
            lacking = "bound" if gate.bound is None else "measured"
            raise Refused(f"gate {name} cannot be read: it has no {lacking}; expected measured and bound, or neither")
        gates[name] = gate
    return gates
