# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judging: a gate is a JMESPath expression over observations that must be exactly `true`; anything else is a no.

An expression that cannot be evaluated, or that names something that is not there, is null and so a no: a gate that cannot
be answered does not pass. The gates that hold for any system stand in `common.yml` beside this file; a system adds its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from nodewise.model import Gate
from nodewise.text import cut

NEAR = 0.1  # of a bound: what passed and came that close to it is a near miss


class Judgement(msgspec.Struct):
    """What came of one gate. `found` is the evidence, None when it passed; `numbers` has `measured` and `bound`, if any.

    `waived` is why an operator lets a no pass.
    """

    gate: str
    ok: bool
    fail_msg: str
    found: Any = None
    numbers: dict[str, float | None] = {}
    waived: str = ""

    @property
    def passes(self) -> bool:
        """Whether the run may go on."""
        return self.ok or bool(self.waived)

    def record(self) -> dict[str, Any]:
        """What a journal keeps of it."""
        found = {} if self.ok else {"found": self.found}
        waived = {"waived": self.waived} if self.waived else {}
        return {"gate": self.gate, "ok": self.ok, "fail_msg": self.fail_msg, **found, **waived, **self.numbers}

    def __str__(self) -> str:
        return f"{self.gate}: {'ok' if self.ok else f'{self.fail_msg}; found {evidence(self.found)}'}"


def judge(gate: Gate, context: dict[str, Any], waive: Mapping[str, str] = MappingProxyType({})) -> Judgement:
    """Ask one gate. What could not be measured has not passed.

    `waive` has gates that an operator lets pass, with a reason: where the answer is no, never where it is unknown.
    """
    try:
        answer, measures = jmespath.search(gate.that, context), numbers(gate, context)
    except (JMESPathError, TypeError, ValueError) as error:  # TypeError: a text that is compared with a number
        return Judgement(gate.name, False, gate.fail_msg, f"the expression failed: {error}")
    if answer is True and None not in measures.values():
        return Judgement(gate.name, True, gate.fail_msg, numbers=measures)
    found = _shown(gate, context, answer)
    # Many an expression turns what is unknown into false; then what it measures, or shows, is null.
    known = answer is False and found is not None and None not in measures.values()
    waived = waive.get(gate.name, "") if known and gate.waivable else ""
    return Judgement(gate.name, False, gate.fail_msg, found, measures, waived)


def numbers(gate: Gate, context: dict[str, Any]) -> dict[str, float | None]:
    """What a gate measures, and its bound; None where that is unknown. Raises ValueError for what is no number."""
    found = {}
    for name in ("measured", "bound") if gate.measured is not None else ():
        asked = getattr(gate, name)
        found[name] = value = _searched(asked, context) if isinstance(asked, str) else asked
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"{name} is {evidence(value, 60)}, expected a number or null")
    return found


def near(numbers: Mapping[str, Any]) -> bool:
    """Whether what passed was within a tenth of its bound; a bound of 0 has no tenth, and what is unknown was not near."""
    measured, bound = numbers.get("measured"), numbers.get("bound")
    return bool(measured is not None and bound and abs(measured - bound) <= abs(bound) * NEAR)


def _searched(expression: str, context: dict[str, Any]) -> Any:
    """An expression's value; null where it cannot be evaluated, as something that it needs is not there."""
    try:
        return jmespath.search(expression, context)
    except (JMESPathError, TypeError):
        return None


def _shown(gate: Gate, context: dict[str, Any], answer: object) -> Any:
    if gate.shows == "@":
        return answer
    try:
        return jmespath.search(gate.shows, context)
    except (JMESPathError, TypeError) as error:
        return f"{answer} (its evidence failed: {error})"


def unmet(failed: list[Judgement]) -> str:
    """What does not hold, on one line: the first gate with its evidence, the others by name.

    One trouble fails several gates. Which follow from which cannot be told, but they are declared from cause to consequence.
    """
    others = f"; nor do these hold: {', '.join(one.gate for one in failed[1:])}" if failed[1:] else ""
    return f"{failed[0]}{others}" if failed else ""


def evidence(found: object, limit: int = 400) -> str:
    """Evidence on one line, short enough to read."""
    return cut(found if isinstance(found, str) else msgspec.json.encode(found).decode(), limit)
