# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a role declares of its system's upgrade, as plain data: steps, gates, components."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jmespath
import msgspec
import yaml

from nodewise import renamed
from nodewise.errors import Refused
from nodewise.gates.vocabulary import builtin_gates, parse_gates
from nodewise.model import Declaration, Gate, Step, Trait, Without

Described = Callable[[str], Any]  # name of a variable -> its value
TRAITS: dict[Trait, str] = {"leader": "leader", "fingerprint": "fingerprint"}  # and what waits for them on a node


def declaration(role: Path, component: str = "", described: Described | None = None) -> Declaration:
    """Read a role's `meta/upgrade.yml`, or that of one of its components, `meta/<component>/upgrade.yml`.

    A component has the gates of its system, too. `described` gives the variable that describes the service, where the role asks for
    one; without it the declaration has all that a service may have.
    """
    path = role / "meta" / component / "upgrade.yml"
    try:
        said = renamed.declaration(yaml.safe_load(path.read_text()))
        declared = msgspec.convert(said, Declaration)
    except FileNotFoundError:
        raise Refused(f"{role.name} declares no upgrade: expected {path}") from None
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    if "back" not in said:
        known = builtin_gates()
        declared.back = [name for name in declared.back if not lacked(known[name], declared.lacks)]
    if declared.described_by and described:
        description = described(declared.described_by) or {}
        for change in (change for key, change in declared.without.items() if not _said(key, description, described)):
            declared = _less(declared, change)
    if not component:
        return declared
    return msgspec.structs.replace(declared, gates={**declaration(role).gates, **declared.gates})


def _said(key: str, description: Mapping[str, Any], described: Described) -> Any:
    """What a description says under a key; one that begins with nodewise_ is a variable of its own, whose key may follow a dot."""
    variable, _dot, inner = key.partition(".")
    if not variable.startswith("nodewise_"):
        return description.get(key)
    value = described(variable)
    return value.get(inner) if inner and isinstance(value, Mapping) else value


def _less(declared: Declaration, change: Without) -> Declaration:
    """A declaration without some steps and gates."""
    ending = declared.point_of_no_return
    return msgspec.structs.replace(
        declared,
        **{name: _left(getattr(declared, name), change) for name in ("steps", "before_first", "after_last")},
        point_of_no_return=None if ending and ending.before in change.steps else ending,
        finalize=_asked_less(declared.finalize, change),
        lacks=[*declared.lacks, *change.lacks],
        unasked=[*declared.unasked, *change.gates],
        together=declared.together and change.together,
        gaps=[*declared.gaps, *filter(None, [change.gap])],
        **{name: _kept(getattr(declared, name), change.gates) for name in ("ready", "back")},
    )


def _left(steps: list[Step], change: Without) -> list[Step]:
    return [_asked_less(step, change) for step in steps if step.name not in change.steps]


def _asked_less(step: Step, change: Without) -> Step:
    waited = {key: value for key, value in step.settled.items() if key not in [TRAITS.get(trait) for trait in change.lacks]}
    return msgspec.structs.replace(step, after=_kept(step.after, change.gates), settled=waited)


def _kept(gates: list[str], left_out: list[str]) -> list[str]:
    return [name for name in gates if name not in left_out]


def components(role: Path) -> list[str]:
    """The parts of a system that are upgraded on their own, by name."""
    return sorted(path.parent.name for path in (role / "meta").glob("*/upgrade.yml"))


def vocabulary(declared: Declaration, own: Mapping[str, Any]) -> dict[str, Gate]:
    """Every gate that can be asked: the engine's, the system's, the operator's. Raises Refused for a name that nobody defines."""
    known = {**builtin_gates(), **parse_gates(declared.gates), **parse_gates(dict(own))}
    known = {name: gate for name, gate in known.items() if name not in declared.unasked}
    of_cluster = [*declared.before_first, *declared.after_last]
    steps = [*declared.steps, *of_cluster]
    asked = [*declared.ready, *declared.back, *declared.finalize.after, *(name for step in steps for name in step.after)]
    if unknown := sorted(set(asked) - set(known)):
        raise Refused(
            f"meta/upgrade.yml names gates that nobody defines: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    for name in dict.fromkeys([*asked, *own]):
        if lacking := lacked(known[name], declared.lacks):
            raise Refused(f"gate {name} asks for a {lacking[0]}, which the system does not have (lacks: in meta/upgrade.yml)")
    if "leader" in declared.lacks and (leading := [step.name for step in declared.steps if step.only == "leader"]):
        raise Refused(f"step {leading[0]} is for the leader, which the system does not have (lacks: in meta/upgrade.yml)")
    if undeclared := [step.name for step in of_cluster if not step.after]:
        raise Refused(f"step {undeclared[0]} of the cluster has no gates; one that shows that it is done is expected in after:")
    ends = ("last_member", "finalize", *(step.name for step in of_cluster))
    if declared.point_of_no_return and declared.point_of_no_return.before not in ends:
        raise Refused(f"the point of no return is before {declared.point_of_no_return.before}; expected one of {', '.join(ends)}")
    return known


def lacked(gate: Gate, lacks: Iterable[Trait]) -> list[Trait]:
    """What of the things that a system does not have a gate asks for."""
    texts = [text for text in (gate.that, gate.measured, gate.bound) if isinstance(text, str)]
    fields = {field for text in texts for field in _fields(jmespath.compile(text).parsed)}
    return [trait for trait in lacks if fields & {trait, f"{trait}_at"}]


def _fields(node: Mapping[str, Any]) -> Iterator[str]:
    if node["type"] == "field":
        yield node["value"]
    for child in node.get("children", []):
        if isinstance(child, dict):
            yield from _fields(child)
