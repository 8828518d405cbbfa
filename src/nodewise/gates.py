"""Judging: a gate is a JMESPath expression over observations that must be exactly `true`; anything else is a no.

An expression that cannot be evaluated, or that names something that is not there, is null and so a no: a gate that cannot
be answered does not pass. The gates that hold for any system stand in `gates.yml` beside this file; a system adds its own.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import jmespath
import msgspec
import yaml
from jmespath.exceptions import JMESPathError

from nodewise.errors import Refused
from nodewise.model import Gate, Observation


class Judgement(msgspec.Struct):
    """What came of one gate; `found` is the evidence, and None when the gate passed."""

    gate: str
    ok: bool
    says: str
    found: Any = None

    def __str__(self) -> str:
        return f"{self.gate}: {'ok' if self.ok else f'{self.says}; found {evidence(self.found)}'}"


def builtin() -> dict[str, Gate]:
    """The gates that know no system by name."""
    return parse_gates(yaml.safe_load(resources.files("nodewise").joinpath("gates.yml").read_text()))


def parse_gates(table: dict[str, Any]) -> dict[str, Gate]:
    """`{name: {that, says, shows}}` as gates; an expression that does not parse is refused before anything begins."""
    gates = {}
    for name, fields in table.items():
        try:
            gate = msgspec.convert({"name": name, **fields}, Gate)
            jmespath.compile(gate.that)
            jmespath.compile(gate.shows)
        except (msgspec.ValidationError, JMESPathError, TypeError) as error:
            raise Refused(
                f"gate {name} cannot be read: {str(error).splitlines()[0]}; expected {{that, says, shows}} in JMESPath"
            ) from error
        gates[name] = gate
    return gates


def judge(gate: Gate, context: dict[str, Any]) -> Judgement:
    """Ask one gate."""
    try:
        answer = jmespath.search(gate.that, context)
    except JMESPathError as error:
        return Judgement(gate.name, False, gate.says, f"the expression failed: {error}")
    if answer is True:
        return Judgement(gate.name, True, gate.says)
    return Judgement(gate.name, False, gate.says, _shown(gate, context, answer))


def _shown(gate: Gate, context: dict[str, Any], answer: object) -> Any:
    if gate.shows == "@":
        return answer
    try:
        return jmespath.search(gate.shows, context)
    except JMESPathError as error:
        return f"{answer} (its evidence failed: {error})"


def told(failed: list[Judgement]) -> str:
    """What does not hold, on one line: the first gate with its evidence, the others by name.

    One trouble fails several gates. Which follow from which cannot be told, but they are declared from cause to consequence.
    """
    others = f"; nor do these hold: {', '.join(one.gate for one in failed[1:])}" if failed[1:] else ""
    return f"{failed[0]}{others}" if failed else ""


def evidence(found: object, limit: int = 400) -> str:
    """Evidence on one line, short enough to read."""
    text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def context(
    now: Observation,
    before: Observation,
    members: list[str],
    *,
    to: str,
    node: str | None = None,
    changed: bool = True,
    successor: str | None = None,
) -> dict[str, Any]:
    """What gates are asked about.

    `now`, `before`: observations; `node`: the member in hand as it is now; `members`: the names expected, `expected`: their count;
    `absent`, `unexpected`, `restarted` (without the member in hand, when it was `changed`): names; `to`: a version;
    `successor`: who was to take over from the member in hand, or null.
    """
    seen = {member.name: member for member in now.members}
    earlier = {member.name: member.started_at for member in before.members}
    watched = [name for name in seen if not changed or name != node]
    return {
        "now": msgspec.to_builtins(now),
        "before": msgspec.to_builtins(before),
        "node": msgspec.to_builtins(seen.get(node)) if node else None,
        "members": members,
        "expected": len(members),
        "absent": sorted(set(members) - set(seen)),
        "unexpected": sorted(set(seen) - set(members)),
        # a start time that nobody could read proves nothing, so it counts as a restart
        "restarted": sorted(n for n in watched if seen[n].started_at is None or seen[n].started_at != earlier.get(n)),
        "to": to,
        "successor": successor,
    }
