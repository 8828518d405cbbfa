# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which commands would be refused now: what is offered to an operator at the end of a run has to work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodewise.errors import Refused
from nodewise.model import Declaration, Plan
from nodewise.record.run import Run
from nodewise.releases.rules import Rules
from nodewise.upgrade.memory import to_recover
from nodewise.upgrade.path import way_back
from nodewise.upgrade.preflight import refuse_unready


def ways(rules: Rules, declared: Declaration, records: Mapping[str, Any], plan: Plan, run: Run) -> dict[str, str]:
    """For `on` (the same command) and `back` (a rollback) why it would be refused now, and "" where it would not.

    `records` is what each node remembers at the end of the run. Members that the next run brings back first may be down.
    """
    seen = run.observations()
    if unseen := sorted(set(plan.groups) - set(seen)):
        return dict.fromkeys(("on", "back"), f"{', '.join(unseen)} was not observed")
    down, found = to_recover([], declared, records, seen), {"on": "", **({} if plan.change else {"back": ""})}
    for way in found:
        try:
            if way == "back":
                way_back(rules, declared, records, seen)
            refuse_unready(declared, seen, plan.groups, plan.to, excused=down, waive=plan.settings.waive)
        except Refused as refusal:
            found[way] = str(refusal)
    return found
