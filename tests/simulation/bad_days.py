"""The matrix of bad days: clients at work around what goes wrong, and what must be true of a cluster after any of it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nodewise.model import Verdict, good
from nodewise.simulation.checkers.registry import merge
from nodewise.simulation.faults.act import in_effect
from nodewise.simulation.faults.registry import read
from nodewise.simulation.harness import Work, at_work, clients_of
from nodewise.simulation.hosts import scene_of
from nodewise.simulation.workloads import register
from nodewise.simulation.workloads.load import Shape
from tests.system.cluster import SEED, Cluster, Ended

RATE = 100.0  # operations a second: a write every few milliseconds that could be lost, and a machine with time for the upgrade
ENOUGH = 50  # acknowledged operations before anything goes wrong: writes that could be lost


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    day: str
    outcome: str
    seconds: float
    restarted: str
    lost: int


ROWS: list[Row] = []


@dataclass
class Day:
    """What is expected of a bad day, and what came of it. Members in `down` are out of order at its end, as the test wants it."""

    cluster: Cluster
    name: str
    before: dict[str, int]
    restarted: dict[str, int] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    healthy: bool = True
    outcomes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def restarts(self) -> dict[str, int]:
        """How often each member was started since the day began; only those that were."""
        return {node: count for node, now in self.cluster.starts().items() if (count := now - self.before[node])}

    def upgrade(self, *outcomes: str, code: int | None = None, words: Sequence[str] = (), **variables: Any) -> Ended:
        """Run the upgrade, which has to end in one of these ways."""
        began = time.monotonic()
        return self.ended(self.cluster.upgrade(*words, **variables), *outcomes, code=code, began=began)

    def refused(self, *named: str, code: int = 2, words: Sequence[str] = (), **variables: Any) -> str:
        """Run an upgrade that has to be refused, with nothing changed and all these words in the reason, which is returned."""
        before = self.cluster.look()
        reason = str(self.upgrade("refused", code=code, words=words, **variables).summary["reason"])
        assert [] == [word for word in named if word not in reason], reason
        now = self.cluster.look()
        changed = [line for node in before for line in set(before[node].splitlines()) ^ set(now[node].splitlines())]
        assert not changed, changed
        return reason

    def ended(self, ended: Ended, *outcomes: str, began: float, code: int | None = None) -> Ended:
        """Hold how a run ended against the ways in which it may have, and keep it for the table."""
        self.seconds += time.monotonic() - began
        assert "Traceback" not in ended.said
        assert ended.outcome in outcomes, ended.said
        assert ended.code == (code if code is not None else 0 if good(ended.summary["kind"], ended.outcome) else 2), ended.said
        self.outcomes.append(ended.outcome)
        self.offers(ended)
        return ended

    def offers(self, ended: Ended) -> None:
        """Each command that may come next, and does not wait for something to be fixed, would not be refused now."""
        for when, command in re.findall(r"^next +(to go[\w ]*): (ansible-playbook .*)$", ended.said, re.MULTILINE):
            if "when" not in when:
                now = self.cluster.typed(command, "--check")
                assert now.outcome in ("planned", "unchanged"), f"{when}: {command}\n{now.said}"


@contextmanager
def bad_day(cluster: Cluster, name: str, through: Sequence[str] = (), rate: float = RATE) -> Iterator[Day]:
    """Clients at work around what happens inside; then everything that holds on any bad day, and a row for the table.

    What cannot list its keys is read back key by key, through each member: `rate` says how many there are.
    They write through all members, or those that are named: what one takes that has left the cluster is lost to the others.
    No acknowledged write is lost, the cluster serves, nothing is left behind, and only what the day names was restarted.
    """
    day = Day(cluster, name, cluster.starts())
    shape = Shape(f"/nodewise/{secrets.token_hex(4)}/", SEED, rate=rate)
    history = cluster.runs / f"{secrets.token_hex(4)}.jsonl"
    with at_work(clients_of(cluster.net), list(through) or cluster.names, history, shape) as work:
        _wait_for(work)
        yield day
        well = [node for node in cluster.names if node not in day.down]
        work.read_back(well)
    noted(day, _lost(work.judged(well, cluster.data, register.checkers)))
    _serves(day, well[0])
    clean(cluster, well)


def noted(day: Day, lost: int) -> None:
    """Have a row of it for the table, and see that only what it names was restarted."""
    restarts = day.restarts()
    ROWS.append(Row(day.name, " → ".join(dict.fromkeys(day.outcomes)), day.seconds, _told(restarts, day.cluster), lost))
    assert day.restarted == restarts


def clean(cluster: Cluster, well: Sequence[str]) -> None:
    """See that nothing is left behind on these members, no lease either."""
    assert dict.fromkeys(well, "") == {node: cluster.left_behind(node) for node in well}
    assert dict.fromkeys(well) == {node: cluster.lease(node) for node in well}


@contextmanager
def fault(cluster: Cluster, kind: str, longest: float = 300, **fields: Any) -> Iterator[None]:
    """A fault of the product's own around what happens inside, proved before it and proved to be healed after it."""
    given = read({"id": f"bad-{kind.replace('_', '-')}", "kind": kind, **fields})
    with in_effect(given, scene_of(cluster.net, clients_of(cluster.net)), cluster.runs / "faults.jsonl", longest):
        yield


def _wait_for(work: Work) -> None:
    until = time.monotonic() + 30
    while work.stats().ok < ENOUGH:
        assert time.monotonic() < until, "the clients never got to work"
        time.sleep(0.05)


def _lost(verdicts: list[Verdict]) -> int:
    merged = merge(verdicts)
    assert "valid" == merged.valid, merged.says
    return merged.lost


def _serves(day: Day, node: str) -> None:
    """All of it when it is to be healthy, else a majority: a write through one member needs a leader and a quorum."""
    if day.healthy and not day.down:
        status = day.cluster.play("status")
        assert 0 == status.code, status.said
    else:
        day.cluster.takes_writes(node)


def _told(restarts: Mapping[str, int], cluster: Cluster) -> str:
    """Members by number, n2, and how often when more than once."""
    short = {node: f"n{number}" for number, node in enumerate(cluster.names, start=1)}
    return ", ".join(short[node] + (f" x{count}" if count > 1 else "") for node, count in sorted(restarts.items())) or "none"


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as a table that is Markdown, too, and reads well in a terminal of 100 columns."""
    head = ("bad day", "outcome", "seconds", "restarted", "lost")
    cells = [(row.day, row.outcome, f"{row.seconds:.1f}", row.restarted, str(row.lost)) for row in rows]
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    sides = (str.ljust, str.ljust, str.rjust, str.ljust, str.rjust)

    def line(words: Sequence[str]) -> str:
        return f"| {' | '.join(side(word, width) for side, word, width in zip(sides, words, widths, strict=True))} |"

    rule = "|".join("-" * (width + 1) + (":" if side is str.rjust else "-") for side, width in zip(sides, widths, strict=True))
    return [line(head), f"|{rule}|", *(line(words) for words in cells)]
