# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a role declares of its system's upgrade, as plain data: steps, gates, components."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from nodewise import renamed
from nodewise.errors import Refused
from nodewise.gates.vocabulary import builtin_gates, parse_gates
from nodewise.model import Declaration, Gate


def declaration(role: Path, component: str = "") -> Declaration:
    """Read a role's `meta/upgrade.yml`, or that of one of its components, `meta/<component>/upgrade.yml`.

    A component has the gates of its system, too.
    """
    path = role / "meta" / component / "upgrade.yml"
    try:
        declared = msgspec.convert(renamed.declaration(yaml.safe_load(path.read_text())), Declaration)
    except FileNotFoundError:
        raise Refused(f"{role.name} declares no upgrade: expected {path}") from None
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    if not component:
        return declared
    return msgspec.structs.replace(declared, gates={**declaration(role).gates, **declared.gates})


def components(role: Path) -> list[str]:
    """The parts of a system that are upgraded on their own, by name."""
    return sorted(path.parent.name for path in (role / "meta").glob("*/upgrade.yml"))


def vocabulary(declared: Declaration, own: Mapping[str, Any]) -> dict[str, Gate]:
    """Every gate that can be asked: the engine's, the system's, the operator's. Raises Refused for a name that nobody defines."""
    known = {**builtin_gates(), **parse_gates(declared.gates), **parse_gates(dict(own))}
    asked = [*declared.ready, *declared.back, *declared.finalize.after, *(name for step in declared.steps for name in step.after)]
    if unknown := sorted(set(asked) - set(known)):
        raise Refused(
            f"meta/upgrade.yml names gates that nobody defines: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    return known
