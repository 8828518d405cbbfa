# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates asked of a run: the last observation against the first, and what was waited for and did not come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nodewise.errors import UnknownResult
from nodewise.gates.context import context
from nodewise.gates.judgement import Judgement, judge, unmet
from nodewise.model import Observation
from nodewise.record.run import Run


def judge_step(
    run: Run,
    names: list[str],
    node: str | None,
    to: str,
    *,
    changed: bool = True,
    since: Mapping[str, Observation] | None = None,
    **more: Any,
) -> str:
    """Ask gates of the last observation and keep the answers; what is returned says which are not exactly true, or is empty.

    `node` is the current member, whose group is asked about; without one every group is. `to` is the version that is asked for;
    unless the node was `changed` since the observation before, its process must not have restarted either. Not having settled is
    a failure too. What is compared with is what the batch was resolved from, or `since`. `more` are `successor`, and the
    `regressions` of a soak.
    """
    plan, now, before = run.read_plan(), run.observations(), since or run.before_batch()
    judgements: list[Judgement] = []
    for group in [plan.group_of(node)] if node else plan.groups:
        earlier = before.get(group) if changed else run.before_last(group)
        if group not in now or earlier is None:
            raise UnknownResult(f"{group} was not observed, so nothing can be judged")
        asked = context(now[group], earlier, plan.groups[group], to=to, node=node, changed=changed) | {"regressions": []} | more
        asked["restarted"] = [name for name in asked["restarted"] if name not in run.batch()]  # which are changed together
        missing = run.missing(group)
        judgements.append(Judgement("settled", not missing, "the cluster did not settle in time", missing or None))
        judgements += [judge(plan.gates[name], asked, plan.settings.waive) for name in names]
    run.judged(judgements, node=node)
    return unmet([one for one in judgements if not one.passes])


def judge_back(run: Run, node: str, old: str) -> str:
    """Ask the gates of a node that was put back, against what was before the first change of the upgrade; as `judge_step`."""
    plan, before = run.read_plan(), run.before_batch()
    group = plan.group_of(node)
    cluster = msgspec.structs.replace(before[group].cluster, id=plan.ids[group], version=plan.acts_as[group])
    return judge_step(run, plan.back, node, old, since={group: msgspec.structs.replace(before[group], cluster=cluster)})


def noticed(run: Run, node: str, old: str) -> list[str]:
    """What else does not hold of what held before the upgrade began: what clients cause, and no undo could change."""
    plan, now = run.read_plan(), run.observations()
    group = plan.group_of(node)
    asked = context(now[group], now[group], plan.groups[group], to=old, node=node)
    said = (judge(plan.gates[name], asked, plan.settings.waive) for name in plan.ready if name not in plan.back)
    return [str(one) for one in said if not one.passes]
