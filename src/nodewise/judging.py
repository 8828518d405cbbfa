"""Gates asked of a run: the last observation against the first, and what was waited for and did not come."""

from __future__ import annotations

from nodewise import gates
from nodewise.errors import UnknownResult
from nodewise.record import Run


def judge_step(run: Run, names: list[str], node: str | None, version: str = "", *, changed: bool = True) -> str:
    """Ask gates of the last observation and keep the answers; what is returned says which are not exactly true, or is empty.

    `node` is the member in hand, `version` what it must run (the plan's target when empty); unless it was `changed` since the
    observation before, its process must not have restarted either. Not having settled is a failure too.
    """
    plan = run.read_plan()
    seen = run.records("observe")
    now, before = run.observation(), run.before_turn() if changed else run.before_last()
    if not seen or now is None or before is None:
        raise UnknownResult("nothing was observed, so nothing can be judged")
    asked = gates.context(now, before, plan.members, to=version or plan.to, node=node, changed=changed)
    judgements = [gates.judge(plan.gates[name], asked) for name in names]
    missing = seen[-1]["missing"]
    judgements.insert(0, gates.Judgement("settled", not missing, "the cluster did not settle in time", missing or None))
    run.judged(judgements, node=node)
    return gates.told([one for one in judgements if not one.ok])
