# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run looks like at one moment, from the journal's records so far: the state behind every view of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from nodewise.model import GOOD

PHASES = ("probe", "plan", "secure", "stage", "roll", "finalize")  # of the whole cluster
AT_ONCE = ("secure", "stage")  # phases that every node goes through at the same time
BESIDE = (*AT_ONCE, "wait", "settle", "gates")  # of a node: what changes nothing that runs, so that nothing is to be taken back
BAD = ("failed", "undoing", "undone")

Record = dict[str, Any]
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

    def cell(self, step: str) -> Cell:
        """The cell of a step; made when it is first asked for."""
        return self.cells.setdefault(step, Cell())

    @property
    def undoing(self) -> bool:
        """The current step is being taken back, or was."""
        return any(cell.state in ("undoing", "undone") for cell in self.cells.values())


class Board:
    """Takes records in, one after the other; a record of a kind that it does not know changes nothing."""

    def __init__(self, members: Iterable[str] = (), phases: Iterable[str] = PHASES) -> None:
        self.nodes = {name: Node(name) for name in members}
        self.phases = {name: Cell() for name in phases}
        self.beside: dict[str, Cell] = {}  # steps of the cluster that are no phase
        self.title, self.to, self.batch = "", "", ""
        self.outcome: str | None = None
        self.good = False
        self.reason = ""
        self.gates = Cell()
        self.faults: dict[str, str] = {}  # in effect now: id and kind
        self.where: dict[str, list[str]] = {}  # the nodes of each fault that was asked for
        self.began: int | None = None
        self.ends: int | None = None  # when the run will be over, if it takes as long as earlier ones
        self.last = 0
        self.told: dict[str, Record] = {}  # why something failed, and the record that said so first

    def feed(self, record: Record) -> None:
        """One record of the journal."""
        self.began = record["t"] if self.began is None else self.began
        self.last = record["t"]
        takes = {"step": self._step, "gate": self._gate, "observe": self._observe, "note": self._note, "fault": self._fault}
        if take := takes.get(record["kind"]):
            take(record)
        self._tell(record)

    def node(self, name: str) -> Node:
        """A member; made when it is first heard of."""
        return self.nodes.setdefault(name, Node(name))

    def doing(self) -> tuple[str, Cell | None]:
        """What the cluster is at just now, and since when; of a roll its batch."""
        running = [(cell.began, name) for name, cell in self._whole().items() if cell.state == "running"]
        name = max(running)[1] if running else ""
        return (self.batch or name) if name == "roll" else name, self._whole().get(name)

    def said_before(self, why: str, record: Record) -> bool:
        """Whether an earlier record said already why something failed."""
        return any(why.startswith(text) and first is not record for text, first in self.told.items())

    def without_what_was_told(self, text: str) -> str:
        """A text with the time of the line that told a failure in place of the failure."""
        for said in sorted(self.told, key=len, reverse=True):
            at = text.find(said.splitlines()[0])
            if at > 0:
                end = at + len(said) if text.startswith(said, at) else (text.find("\n", at) if "\n" in text[at:] else len(text))
                seen = (self.told[said]["t"] - (self.began or 0)) / 1e9
                return f"{text[:at].rstrip(': ')} (see above, {seen:.1f}s){text[end:]}"
        return text

    def _whole(self) -> dict[str, Cell]:
        """The phases, and the other steps of the cluster."""
        return {**self.phases, **self.beside}

    def _tell(self, record: Record) -> None:
        if record["kind"] == "gate" and not record["ok"]:
            self.told.setdefault(f"{record['gate']}: {record['fail_msg']}", record)
        elif record["kind"] == "step" and record.get("error") and (record.get("node") or record["step"] not in PHASES):
            self.told.setdefault(str(record["error"]), record)

    def _fault(self, record: Record) -> None:
        if record["state"] == "asked":
            self.where[record["fault"]] = list(record.get("where", ()))
        if record["state"] == "in_effect":
            self.faults[record["fault"]] = record["what"]
        elif record["phase"] == "end":
            self.faults.pop(record["fault"], None)

    def _note(self, record: Record) -> None:
        for name in record.get("members") or ():
            self.node(name)
        self.to = self.to or record.get("to") or ""
        self.title = self.title or record.get("text", "") + (f" to {self.to}" if self.to else "")
        if "batch" in record:
            self.batch = record["text"].partition(":")[0]
        if record.get("estimate_s") is not None:
            self.ends = record["t"] + round(record["estimate_s"] * 1e9)
        if record.get("outcome") and not self.outcome:
            self.outcome, self.reason = record["outcome"], self.without_what_was_told(record.get("text", ""))
            self.good = record.get("good", self.outcome in GOOD)
            for cell in [*self._whole().values(), *(cell for node in self.nodes.values() for cell in node.cells.values())]:
                if cell.state in ("running", "undoing"):  # the run is over, and this never ended
                    cell.end(record["t"], "done" if self.good else "failed")

    def _observe(self, record: Record) -> None:
        observation = record["observation"]
        leader = observation["cluster"]["leader"]
        for member in observation["members"]:
            node = self.node(member["name"])
            node.was = node.was or member["version"]
            node.version, node.serving, node.leader = member["version"], member["serving"], member["name"] == leader

    def _gate(self, record: Record) -> None:
        cells = [self.gates]
        if record.get("node") and not self.node(record["node"]).undoing:
            cells.append(self.node(record["node"]).cell("gates"))
        for cell in cells:
            cell.passed += bool(record["ok"])
            cell.failed += not (record["ok"] or record.get("waived"))
            cell.state = "failed" if cell.failed else "done"

    def _step(self, record: Record) -> None:
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
        cells = [self.phases[name] if name in self.phases else self.beside.setdefault(name, Cell())]
        if name in AT_ONCE:
            wanted = "waiting" if phase == "begin" else "running"
            cells += [cell for node in self.nodes.values() if (cell := node.cell(name)).state == wanted]
        for cell in cells:
            cell.begin(at) if phase == "begin" else cell.end(at, state)

    def _begin(self, node: Node, step: str, at: int) -> None:
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

    def _undo(self, node: Node, record: Record) -> None:
        changed = [cell for name, cell in node.cells.items() if name not in BESIDE and cell.began]
        if not changed:
            return
        cell = max(changed, key=lambda one: one.began)
        if record["phase"] == "begin":
            cell.begin(record["t"], "undoing")
        elif cell.state == "undoing":
            cell.end(record["t"], "undone" if record.get("ok") else "failed")
