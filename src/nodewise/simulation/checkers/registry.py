# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pure functions from a history to a verdict. They are found by name, here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from nodewise.errors import UsageError
from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.answered import answered
from nodewise.simulation.checkers.appended import appended
from nodewise.simulation.checkers.attempts import WRITES
from nodewise.simulation.checkers.balanced import balanced
from nodewise.simulation.checkers.chain import chain
from nodewise.simulation.checkers.context import NOTHING, Context
from nodewise.simulation.checkers.converged import converged
from nodewise.simulation.checkers.durable import durable
from nodewise.simulation.checkers.exclusive import exclusive
from nodewise.simulation.checkers.fenced import fenced
from nodewise.simulation.checkers.linearizable import linearizable
from nodewise.simulation.checkers.monotonic import monotonic
from nodewise.simulation.checkers.no_panic import no_panic
from nodewise.simulation.checkers.no_phantom import no_phantom
from nodewise.simulation.checkers.once import once
from nodewise.simulation.checkers.traffic import traffic

Checker = Callable[[Sequence[Operation]], Verdict]

IN_CONTEXT = (exclusive, converged, no_panic)  # they are asked with it
CHECKERS: dict[str, Checker] = {
    checker.__name__: checker
    for checker in (
        *(durable, once, no_phantom, monotonic, traffic, chain, appended, balanced, fenced, answered),
        *IN_CONTEXT,
        linearizable,
    )
}
# The operations that a checker is about, where it is not about any: of a history without them it has nothing to say.
ABOUT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("durable", "no_phantom", "monotonic"), WRITES),
    "once": ("add",),
    "chain": ("cas",),
    "appended": ("append",),
    "balanced": ("transfer",),
    "fenced": ("guarded",),
    "exclusive": ("acquire",),
    **dict.fromkeys(("converged", "no_panic"), ()),  # about no operation: a history alone does not tell
    "answered": (),  # a member that is cut off on purpose is of no use, either
    "linearizable": (*WRITES, "append"),
}

EXIT_CODES = {"valid": 0, "invalid": 1, "unknown": 3}


def fitting(history: Iterable[Operation]) -> list[str]:
    """The checkers that are about the operations of a history."""
    asked = {operation.f for operation in history}
    return [name for name in CHECKERS if name not in ABOUT or asked & {*ABOUT[name]}]


def judge(history: Sequence[Operation], names: Iterable[str] = tuple(CHECKERS), context: Context = NOTHING) -> list[Verdict]:
    """A verdict of each checker named. One that crashes says `unknown`: it has not seen what it should judge."""
    names = list(names)
    if unknown := [name for name in names if name not in CHECKERS]:
        raise UsageError(f"no checker {', '.join(unknown)}; there are: {', '.join(CHECKERS)}.")
    return [_run(name, CHECKERS[name], history, context) for name in names]


def merge(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for all: invalid wins over unknown, unknown over valid; no verdict at all is unknown."""
    order: tuple[Literal["invalid", "unknown", "valid"], ...] = ("invalid", "unknown", "valid")
    worst = min((order.index(verdict.valid) for verdict in verdicts), default=1)
    says = [verdict.says for verdict in verdicts if order.index(verdict.valid) == worst]
    evidence = [operation for verdict in verdicts for operation in verdict.operations]
    return Verdict("all", order[worst], "; ".join(says) or "nothing was judged", evidence, sum(v.lost for v in verdicts))


def _run(name: str, checker: Checker, history: Sequence[Operation], context: Context) -> Verdict:
    asked = next((one for one in IN_CONTEXT if one is checker), None)
    try:
        return asked(history, context) if asked else checker(history)
    except Exception as error:  # noqa: BLE001 whatever a checker stumbles over, its verdict is unknown
        return Verdict(name, "unknown", f"the checker could not judge: {type(error).__name__}: {error}")
