# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator lets pass in one run, each with a reason: a gate, a refusal, or what a restart would bring up."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from nodewise.errors import Refused
from nodewise.model import Gate

# Refusals by the reason codes of the glossary: stopping one member is an outage; what runs cannot be put back; the change window
# is shorter than the estimate. `rehearsed` is that no rehearsal of the release counts.
REFUSALS = ("quorum_at_risk", "cannot_go_back", "window_closed", "rehearsed")
HASH = re.compile(r"[0-9a-f]{8}")  # of a difference that a restart would bring up: module_utils/node/restart.py


def refuse_unwaivable(waive: Mapping[str, object], gates: Mapping[str, Gate]) -> None:
    """Raise Refused with a line for each waiver that has no reason, or that waives what nobody may, or nobody asks."""
    off = []
    for name, reason in waive.items():
        gate = gates.get(name)
        if not isinstance(reason, str) or not reason.strip():
            off.append(f"nodewise_waive: {name} has no reason; give one: {way_to(name)}")
        elif gate and not gate.waivable:
            off.append(f"nodewise_waive: {name} cannot be waived: it is about the data, or about what runs")
        elif not gate and name not in REFUSALS and not HASH.fullmatch(name):
            able = sorted([*REFUSALS, *(one.name for one in gates.values() if one.waivable)])
            off.append(f"nodewise_waive: nothing is called {name}; expected the hash of a difference, or one of {', '.join(able)}")
    if off:
        raise Refused("\n".join(off))


def way_to(*names: str) -> str:
    """The words that waive something, as they are added to the command."""
    return f"-e '{json.dumps({'nodewise_waive': dict.fromkeys(names, 'REASON')})}'"
