# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judging: a gate is a JMESPath expression over observations that must be exactly `true`; anything else is a no.

An expression that cannot be evaluated, or that names something that is not there, is null and so a no: a gate that cannot
be answered does not pass. The gates that hold for any system stand in `common.yml` beside this file; a system adds its own.
"""

from __future__ import annotations

from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from nodewise.model import Gate


class Judgement(msgspec.Struct):
    """What came of one gate; `found` is the evidence, and None when the gate passed."""

    gate: str
    ok: bool
    fail_msg: str
    found: Any = None

    def record(self) -> dict[str, Any]:
        """What a journal keeps of it."""
        return {"gate": self.gate, "ok": self.ok, "fail_msg": self.fail_msg, **({} if self.ok else {"found": self.found})}

    def __str__(self) -> str:
        return f"{self.gate}: {'ok' if self.ok else f'{self.fail_msg}; found {evidence(self.found)}'}"


def judge(gate: Gate, context: dict[str, Any]) -> Judgement:
    """Ask one gate."""
    try:
        answer = jmespath.search(gate.that, context)
    except JMESPathError as error:
        return Judgement(gate.name, False, gate.fail_msg, f"the expression failed: {error}")
    if answer is True:
        return Judgement(gate.name, True, gate.fail_msg)
    return Judgement(gate.name, False, gate.fail_msg, _shown(gate, context, answer))


def _shown(gate: Gate, context: dict[str, Any], answer: object) -> Any:
    if gate.shows == "@":
        return answer
    try:
        return jmespath.search(gate.shows, context)
    except JMESPathError as error:
        return f"{answer} (its evidence failed: {error})"


def unmet(failed: list[Judgement]) -> str:
    """What does not hold, on one line: the first gate with its evidence, the others by name.

    One trouble fails several gates. Which follow from which cannot be told, but they are declared from cause to consequence.
    """
    others = f"; nor do these hold: {', '.join(one.gate for one in failed[1:])}" if failed[1:] else ""
    return f"{failed[0]}{others}" if failed else ""


def evidence(found: object, limit: int = 400) -> str:
    """Evidence on one line, short enough to read."""
    text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
