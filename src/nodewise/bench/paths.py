# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hot paths that have a micro row: how each is made ready, and its limit. A new checker or smoke parser has a row by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from nodewise.bench import inputs
from nodewise.errors import SetupError
from nodewise.model import Observation, Plan, Settings, Step, Subject
from nodewise.record.run import Run
from nodewise.releases.rules import load_rules
from nodewise.simulation.checkers.linearizable import by_name, linearizable
from nodewise.simulation.checkers.registry import ABOUT, CHECKERS
from nodewise.simulation.checkers.registry import judge as judge_by
from nodewise.simulation.histories.read import read_any
from nodewise.simulation.workloads import register
from nodewise.simulation.workloads.registry import workloads_known
from nodewise.smoke.protocols import READERS
from nodewise.smoke.verdict import judge
from nodewise.testnet.home import checkout
from nodewise.upgrade.declared import declaration
from nodewise.upgrade.judging import judge_step
from nodewise.upgrade.path import Resolver, hops_through, versions_ahead
from nodewise.upgrade.plan import Route, make
from nodewise.views.plan import describe

Ready = Callable[[], object]  # one call is one pass along the path
CHECKING = {  # limits in ms
    "durable": 200.0,
    "once": 125.0,
    "no_phantom": 180.0,
    "monotonic": 180.0,
    "traffic": 140.0,
    "appended": 400.0,
    "linearizable": 500.0,
    "balanced": 500.0,  # long lists, and all accounts in each look at them
}
PARSING = {"tap": 50.0, "junit": 12.0, "jsonl": 14.0}
LIMIT = 200.0  # ms, of a checker or parser that has none of its own yet
OPERATIONS, SCRIPTS = 12_000, 500  # what six clients do in a minute; a suite of 100 scripts on five nodes
AT_ONCE = 10_000, 10  # operations and clients
ADDED = 100_000  # lines of a history of additions
GROUPS, MEMBERS = 200, 5
OLD, NEW = "15.18", "15.20"  # of PostgreSQL
LAST = "switch"  # the step that is judged, of the last replica


class HotPath(NamedTuple):
    """A piece of work that is done again and again, or on much data. `limit`: milliseconds of processor time."""

    name: str
    what: str
    limit: float
    prepare: Callable[[Path], Ready]  # is given an empty folder


def paths() -> list[HotPath]:
    """All of them, in the order in which they are shown."""
    checked = [(name, CHECKING.get(name, LIMIT)) for name in CHECKERS]
    parsed = [(name, PARSING.get(name, LIMIT)) for name in READERS]
    return [
        HotPath("plan-1000", f"a plan for {GROUPS * MEMBERS} nodes in {GROUPS} groups: made, described, written", 1000, planning),
        HotPath("observe", f"an info module's answer about {MEMBERS} members: read, kept in the journal", 5, observing),
        HotPath("judge", f"the gates of a PostgreSQL step, asked about {MEMBERS} members in their last batch", 100, judging),
        *(HotPath(f"checker-{name}", f"a history of {OPERATIONS:,} operations", limit, checking(name)) for name, limit in checked),
        HotPath("search", f"{AT_ONCE[0]:,} operations on one register by {AT_ONCE[1]} clients at once", 1000, searching),
        HotPath("search-broken", "the same with a read of what nobody wrote, and its window", 2000, searching_broken),
        HotPath("set", f"a file of {ADDED:,} lines on a set, read and judged", 500, adding),
        *(
            HotPath(f"parser-{name}", f"a script's output of {inputs.CASES:,} cases", limit, parsing(name))
            for name, limit in parsed
        ),
        HotPath("verdict", f"{SCRIPTS} smoke scripts that ended, each judged", 45, deciding),
    ]


def planning(folder: Path) -> Ready:
    """As the task `plan` does it: an etcd cluster of many groups, over three failure domains."""
    role, old, new = checkout() / "roles/etcd", "3.4.23", "3.5.16"
    declared, rules, run = declaration(role), load_rules(role), Run(folder)
    groups = {f"g{number:03}": inputs.names(MEMBERS, f"g{number:03}") for number in range(GROUPS)}
    domains = {name: f"zone{at % 3}" for members in groups.values() for at, name in enumerate(members)}
    seen = {group: inputs.etcd(members, old) for group, members in groups.items()}
    subject = Subject("bench", "etcd", "nodewise.cluster.etcd", groups, domains)

    def path() -> None:
        stops = versions_ahead(rules, [old], new)
        way = hops_through(rules, declared, old, stops, Resolver(inputs.release))
        made = make(subject, declared, seen, Route(way), Settings(), {})
        describe(made)
        run.write_plan(made)

    return path


def observing(folder: Path) -> Ready:
    """From the text that a node sent to the record on disk, in the journal of a run that is at its last batch."""
    run, _step, node = last_batch(folder)
    told = json.dumps({"observation": _seen(MEMBERS - 1), "missing": []})
    size = run.journal.stat().st_size

    def path() -> None:
        answer = json.loads(told)
        run.observed(msgspec.convert(answer["observation"], Observation), answer["missing"], node=node, group="bench")
        os.truncate(run.journal, size)

    return path


def judging(folder: Path) -> Ready:
    """A step's gates, asked of what the journal says, and the answers kept there. SetupError unless all hold: that is usual."""
    run, step, node = last_batch(folder)
    size = run.journal.stat().st_size

    def path() -> str:
        said = judge_step(Run(run.folder), step.after, node, NEW)  # as a task does it, which has read nothing yet
        os.truncate(run.journal, size)
        return said

    if said := path():
        raise SetupError(f"the gates of the made-up cluster do not hold, so judging has no figure: {said}")
    return path


def last_batch(folder: Path) -> tuple[Run, Step, str]:
    """A run of PostgreSQL whose last replica was just switched and observed, that step, and the replica."""
    run, members = Run.create(folder / "run", kind="upgrade"), inputs.names(MEMBERS)
    made = _made(members)
    run.write_plan(made)
    _observe(run, 0)
    for done, node in enumerate(members[:-1], 1):
        run.note(f"batch {done}: {node}, a follower", batch=done, nodes=[node])
        for step in made.steps:
            if step.only == "leader":
                continue
            run.begin(step.name, node=node)
            _observe(run, done, node)
            if step.name == LAST and node == members[-2]:
                return run, step, node
            judge_step(run, step.after, node, NEW)
            run.end(step.name, ok=True, node=node)
    raise SetupError(f"PostgreSQL has no step {LAST} any more, so judging has no figure: name one in src/nodewise/bench/paths.py")


def _made(members: list[str]) -> Plan:
    role = checkout() / "roles/postgresql"
    declared, seen = declaration(role), msgspec.convert(_seen(0), Observation)
    way = hops_through(load_rules(role), declared, OLD, [NEW], Resolver(inputs.release))
    subject = Subject("bench", "postgresql", "nodewise.cluster.postgresql", {"bench": members})
    return make(subject, declared, {"bench": seen}, Route(way), Settings(), {})


def _seen(done: int) -> dict[str, Any]:
    """The cluster when so many members were upgraded."""
    return inputs.postgresql(inputs.names(MEMBERS), [NEW] * done + [OLD] * (MEMBERS - done))


def _observe(run: Run, done: int, node: str | None = None) -> None:
    run.observed(msgspec.convert(_seen(done), Observation), [], node=node, group="bench")


def checking(name: str) -> Callable[[Path], Ready]:
    """A checker on a history that it finds valid. SetupError when it does not: how quick it is in doubt is not the question."""
    about, known = ABOUT.get(name, ()), workloads_known().values()

    def prepare(_folder: Path) -> Ready:
        asks = (one for one in known if name in one.checkers or one.asks & {*about})
        history = inputs.history(OPERATIONS, register if name in register.checkers else next(asks, register))
        context = inputs.context()
        (found,) = judge_by(history, [name], context)
        if found.valid != "valid":
            raise SetupError(f"checker {name} calls the made-up history {found.valid}, expected valid: {found.says}")
        return lambda: judge_by(history, [name], context)

    return prepare


def searching(_folder: Path) -> Ready:
    """A search in which an order is found. SetupError when it is not."""
    return _searching("valid", broken=False)


def searching_broken(_folder: Path) -> Ready:
    """A search in which none is."""
    return _searching("invalid", broken=True)


def _searching(expected: str, *, broken: bool) -> Ready:
    history = inputs.at_once(*AT_ONCE, broken=broken)
    if (found := linearizable(history)).valid != expected:
        raise SetupError(f"the made-up history is {found.valid}, expected {expected}: {found.says}")
    return lambda: linearizable(history)


def adding(folder: Path) -> Ready:
    """Additions as a run records them, judged as they are read."""
    path = folder / "history.jsonl"
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(one) + b"\n" for one in inputs.added(ADDED // 2))
    if (found := by_name(read_any(path), "set")).valid != "valid":
        raise SetupError(f"the made-up history of a set is {found.valid}, expected valid: {found.says}")
    return lambda: by_name(read_any(path), "set")


def parsing(name: str) -> Callable[[Path], Ready]:
    """A smoke parser on output of many cases. SetupError when it does not find them all, or when there is no such output."""

    def prepare(_folder: Path) -> Ready:
        if name not in inputs.OUTPUT:
            raise SetupError(f"no output to read for parser {name}; add one to OUTPUT in src/nodewise/bench/inputs.py")
        said = inputs.OUTPUT[name]()
        found = len(READERS[name](said))  # type: ignore[index]
        if found < inputs.CASES:
            raise SetupError(f"parser {name} found {found} cases in the made-up output, expected {inputs.CASES} or more")
        return lambda: READERS[name](said)  # type: ignore[index]

    return prepare


def deciding(_folder: Path) -> Ready:
    """What came of each script of a suite, from how it ended and what it printed."""
    ended = inputs.ended(SCRIPTS)
    return lambda: [judge(one, script, "n1") for one, script in ended]
