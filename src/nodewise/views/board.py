# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run looks like at one moment, from the journal's records so far: the state behind every view of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from nodewise.model import GOOD

PHASES = ("probe", "plan", "secure", "stage", "roll", "finalize")  # of the whole cluster
COLUMNS = ("secure", "stage", "drain", "switch", "settle", "gates")  # of one node; a system's own steps come before settle
BESIDE = (
    "secure",
    "stage",
    "wait",
    "settle",
    "gates",
)  # columns that change nothing that runs: there is nothing in them to take back
BAD = ("failed", "undoing", "undone")

State = Literal["waiting", "running", "done", "failed", "undoing", "undone"]


class Cell(msgspec.Struct):
    """One step of one node, or one phase of the cluster. Times are ns since the epoch, `seconds` what it took in the end."""

    state: State = "waiting"
    began: int = 0
    seconds: float | None = None
    passed: int = 0  # gates
    failed: int = 0

    def begin(self, at: int, state: State = "running") -> None:
        """It has begun."""
        self.state, self.began, self.seconds = state, at, None

    def end(self, at: int, state: State) -> None:
        """It is over."""
        self.state, self.seconds = state, max(0, at - self.began) / 1e9

    def took(self, now: int) -> float | None:
        """Seconds until it ended, or until now."""
        return max(0, now - self.began) / 1e9 if self.state in ("running", "undoing") else self.seconds


class Node(msgspec.Struct):
    """A member: what ran when the run began, what runs now, and its steps."""

    name: str
    was: str | None = None
    version: str | None = None
    serving: bool | None = None
    leader: bool = False
    cells: dict[str, Cell] = msgspec.field(default_factory=dict)

    def cell(self, column: str) -> Cell:
        """The cell of a column; made when it is first asked for."""
        return self.cells.setdefault(column, Cell())

    @property
    def undoing(self) -> bool:
        """The current step is being taken back, or was."""
        return any(cell.state in ("undoing", "undone") for cell in self.cells.values())


class Board:
    """Takes records in, one after the other; a record of a kind that it does not know changes nothing."""

    def __init__(self, members: Iterable[str] = ()) -> None:
        self.nodes = {name: Node(name) for name in members}
        self.phases = {name: Cell() for name in PHASES}
        self.columns = list(COLUMNS)
        self.title = ""
        self.outcome: str | None = None
        self.good = False
        self.reason = ""
        self.gates = Cell()
        self.faults: dict[str, str] = {}  # in effect now: id and kind
        self.began: int | None = None
        self.last = 0

    def feed(self, record: dict[str, Any]) -> None:
        """One record of the journal."""
        self.began = record["t"] if self.began is None else self.began
        self.last = record["t"]
        takes = {"step": self._step, "gate": self._gate, "observe": self._observe, "note": self._note, "fault": self._fault}
        if take := takes.get(record["kind"]):
            take(record)

    def node(self, name: str) -> Node:
        """A member; made when it is first heard of."""
        return self.nodes.setdefault(name, Node(name))

    def _fault(self, record: dict[str, Any]) -> None:
        if record["state"] == "in_effect":
            self.faults[record["fault"]] = record["what"]
        elif record["phase"] == "end":
            self.faults.pop(record["fault"], None)

    def _note(self, record: dict[str, Any]) -> None:
        for name in record.get("members") or ():
            self.node(name)
        self.title = self.title or record.get("text", "") + (f" to {record['to']}" if record.get("to") else "")
        if record.get("outcome") and not self.outcome:
            self.outcome, self.reason = record["outcome"], record.get("text", "")
            self.good = record.get("good", self.outcome in GOOD)
            for cell in [*self.phases.values(), *(cell for node in self.nodes.values() for cell in node.cells.values())]:
                if cell.state in ("running", "undoing"):  # the run is over, and this never ended
                    cell.end(record["t"], "done" if self.good else "failed")

    def _observe(self, record: dict[str, Any]) -> None:
        observation = record["observation"]
        leader = observation["cluster"]["leader"]
        for member in observation["members"]:
            node = self.node(member["name"])
            node.was = node.was or member["version"]
            node.version, node.serving, node.leader = member["version"], member["serving"], member["name"] == leader

    def _gate(self, record: dict[str, Any]) -> None:
        cells = [self.gates]
        if record.get("node") and not self.node(record["node"]).undoing:
            cells.append(self.node(record["node"]).cell("gates"))
        for cell in cells:
            cell.passed += bool(record["ok"])
            cell.failed += not (record["ok"] or record.get("waived"))
            cell.state = "failed" if cell.failed else "done"

    def _step(self, record: dict[str, Any]) -> None:
        step, name, at = record["step"], record.get("node"), record["t"]
        state: State = "done" if record.get("ok") else "failed"
        if not name:
            self._phase(step, record["phase"], at, state)
        elif step == "undo":
            self._undo(self.node(name), record)
        elif record["phase"] == "begin":
            self._begin(self.node(name), step, at)
        else:
            self._end(self.node(name), step, at, state)

    def _phase(self, name: str, phase: str, at: int, state: State) -> None:
        cells = [self.phases[name]] if name in self.phases else []
        if name in self.columns and name != "settle":  # what the cluster does at once, every node does
            wanted = "waiting" if phase == "begin" else "running"
            cells += [cell for node in self.nodes.values() if (cell := node.cell(name)).state == wanted]
        for cell in cells:
            cell.begin(at) if phase == "begin" else cell.end(at, state)

    def _begin(self, node: Node, step: str, at: int) -> None:
        if step not in self.columns:
            self.columns.insert(self.columns.index("settle"), step)
        if step == "settle":  # the change is made; what is left of the step is waiting and judging
            for cell in node.cells.values():
                if cell.state == "running":
                    cell.end(at, "done")
        if not (step == "settle" and node.undoing):
            node.cell(step).begin(at)

    def _end(self, node: Node, step: str, at: int, state: State) -> None:
        cell = node.cell(step)
        if cell.state == "running":
            cell.end(at, state)
        elif state == "failed" and cell.state == "done" and not any(c.state in BAD for c in node.cells.values()):
            cell.state = state

    def _undo(self, node: Node, record: dict[str, Any]) -> None:
        changed = [column for column in self.columns if column in node.cells and column not in BESIDE]
        if not changed:
            return
        cell = node.cell(changed[-1])
        if record["phase"] == "begin":
            cell.begin(record["t"], "undoing")
        elif cell.state == "undoing":
            cell.end(record["t"], "undone" if record.get("ok") else "failed")
