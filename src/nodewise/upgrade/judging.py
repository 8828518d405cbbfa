# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates asked of a run: the last observation against the first, and what was waited for and did not come."""

from __future__ import annotations

from collections.abc import Iterable

from nodewise.errors import UnknownResult
from nodewise.gates.context import context
from nodewise.gates.judgement import Judgement, judge, unmet
from nodewise.record.run import Run


def judge_step(
    run: Run,
    names: list[str],
    node: str | None,
    to: str,
    *,
    changed: bool = True,
    regressions: Iterable[str] = (),
    successor: str | None = None,
) -> str:
    """Ask gates of the last observation and keep the answers; what is returned says which are not exactly true, or is empty.

    `node` is the current member, whose group is asked about; without one every group is. `to` is the version that is asked for;
    unless the node was `changed` since the observation before, its process must not have restarted either. Not having settled is
    a failure too.
    """
    plan, now, before = run.read_plan(), run.observations(), run.before_batch()
    judgements: list[Judgement] = []
    for group in [plan.group_of(node)] if node else plan.groups:
        earlier = before.get(group) if changed else run.before_last(group)
        if group not in now or earlier is None:
            raise UnknownResult(f"{group} was not observed, so nothing can be judged")
        asked = context(now[group], earlier, plan.groups[group], to=to, node=node, changed=changed, successor=successor)
        asked["regressions"] = list(regressions)
        missing = run.missing(group)
        judgements.append(Judgement("settled", not missing, "the cluster did not settle in time", missing or None))
        judgements += [judge(plan.gates[name], asked) for name in names]
    run.judged(judgements, node=node)
    return unmet([one for one in judgements if not one.ok])
