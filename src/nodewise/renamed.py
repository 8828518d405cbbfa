# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that were others once: the table of old and new, and what reads the old ones. A system's own are in its role.

Old names of variables and of a gate's keys work until release 0.3, with a warning. What older versions wrote down (journals, plans,
summaries) can be read for good. docs/glossary.md has the table for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

UNTIL = "0.3"  # the first release that knows old variables and keys no more

VARIABLES = {
    "nodewise_via": "nodewise_upgrade_path",
    "nodewise_prove": "nodewise_mixed_version_check",
    "nodewise_verify": "nodewise_deep_check",
    "nodewise_repair": "nodewise_recover",
    "nodewise_until": "nodewise_window_end",
    "nodewise_domain": "nodewise_failure_domain",
    "nodewise_group": "nodewise_quorum_group",
}
WAIVERS = {"nodewise_accept_outage": "quorum_at_risk", "nodewise_accept_one_way": "cannot_go_back"}  # names in nodewise_waive
YES = ("1", "true", "yes", "on")
GATE_KEYS = {"says": "fail_msg"}  # of a gate, wherever one is declared
OUTCOMES = {"held": "paused", "needs_human": "intervention_required"}
STEPS = {"prove": "mixed_version_check", "repair": "recover"}  # names of steps in a journal
SETTINGS = {"prove": "mixed_version_check", "verify": "deep_check"}  # of a plan
PLAN_KEYS = {"turns": "batches", "repair": "recover"}
NOTE_KEYS = {"turn": "batch"}
STEP_KEYS = {"proves": "checks_mixed_versions", "file": "verb"}


def value(variables: Mapping[str, Any], new: str) -> Any:
    """A variable by its new name, or by its old one where only that is given; None where neither is."""
    old = next(old for old, now in VARIABLES.items() if now == new)
    return variables.get(new) if new in variables else variables.get(old)


def of_role(role: Path) -> dict[str, str]:
    """The variables that have another name now: everyone's, and those of a role's `meta/renamed.yml`, old: new."""
    own = role / "meta/renamed.yml"
    return {**VARIABLES, **(yaml.safe_load(own.read_text()) if own.exists() else {})}


def waivers(given: Mapping[str, str], variables: Mapping[str, Any]) -> dict[str, str]:
    """What is waived, with what is said by an old variable."""
    old = {name: f"{variable} is true" for variable, name in WAIVERS.items() if str(variables.get(variable)).lower() in YES}
    return {**old, **given}


def warnings(hosts: Iterable[Mapping[str, Any]], variables: Mapping[str, str] = VARIABLES) -> list[str]:
    """What to say of the old names among some hosts' variables: one line, or none."""
    given = list(hosts)
    said = []
    for old, new in {**variables, **{old: f"nodewise_waive ({name})" for old, name in WAIVERS.items()}}.items():
        if any(old in host for host in given):
            both = any(old in host and new in host for host in given)
            said.append(f"{old} is now {new}" + (" (both are given, the new one counts)" if both else ""))
    return [f"{', '.join(said)}; {'the old names work' if len(said) > 1 else 'the old name works'} until {UNTIL}"] if said else []


def gate_warnings(*tables: Mapping[str, Any]) -> list[str]:
    """What to say of gates that are declared with old keys: one line, or none."""
    old = sorted({name for table in tables for name, fields in table.items() if isinstance(fields, Mapping) and "says" in fields})
    return [f"gates: says is now fail_msg ({', '.join(old)}); the old key works until {UNTIL}"] if old else []


def gate(fields: Any) -> Any:
    """A gate's fields by their new names; where both are given the new one counts."""
    return _keys(fields, GATE_KEYS)


def declaration(fields: Any) -> Any:
    """A role's meta/upgrade.yml by its new names. Its gates are read where all gates are."""
    if not isinstance(fields, Mapping):
        return fields
    steps = fields.get("steps")
    return {**fields, "steps": [_keys(step, STEP_KEYS) for step in steps]} if isinstance(steps, list) else fields


def record(one: dict[str, Any]) -> dict[str, Any]:
    """A record of a journal, or a summary, in today's words."""
    kind, new = one.get("kind"), dict(one)
    if one.get("outcome") in OUTCOMES:
        new = {**new, "outcome": OUTCOMES[one["outcome"]]}
    if kind == "gate":
        return dict(_keys(new, GATE_KEYS))
    if kind == "note":
        return dict(_keys(new, NOTE_KEYS))
    if kind == "step" and one.get("step") in STEPS:
        new = {**new, "step": STEPS[one["step"]]}
    return new


def plan(fields: dict[str, Any]) -> dict[str, Any]:
    """A plan in today's words."""
    new: dict[str, Any] = _keys(fields, PLAN_KEYS)
    new["settings"] = _keys(new.get("settings"), SETTINGS)
    new["gates"] = _each(new.get("gates"), gate)
    new["steps"] = _each(new.get("steps"), lambda step: _keys(step, STEP_KEYS))
    new["finalize"] = _keys(new.get("finalize"), STEP_KEYS)
    return new


def _each(value: Any, turn: Callable[[Any], Any]) -> Any:
    """The items of a mapping or a list, turned; whatever else is given is for its reader to refuse."""
    if isinstance(value, Mapping):
        return {key: turn(one) for key, one in value.items()}
    return [turn(one) for one in value] if isinstance(value, list) else value


def _keys(fields: Any, table: Mapping[str, str]) -> Any:
    """A mapping with the keys of a table renamed; whatever else is given is for its reader to refuse."""
    if not isinstance(fields, Mapping):
        return fields
    return {table.get(key, key): value for key, value in fields.items() if table.get(key) not in fields}
