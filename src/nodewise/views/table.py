# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of a run, in the size that the terminal has just now. Whatever comes later has its place already: nothing moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from nodewise.text import cut, wrapped
from nodewise.views.board import Board, Cell, Node

FRAME = 125_000_000  # ns that one picture of a spinner stands
GAP = "  "
GATES = 5  # columns: a mark, and a number of three digits
STEPS = 30  # columns that steps have at least: the longest name, and its time
LONG = 100  # seconds: from there on a tenth is not worth its columns
HOUR = 60  # minutes

STYLES = {"waiting": "dim", "running": "cyan", "done": "green", "failed": "bold red", "undoing": "yellow", "undone": "yellow"}
MARKS = {"waiting": "·", "done": "✓", "failed": "✗", "undone": "↩", "leader": "★", "to": "→", "more": "…", "spin": "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"}
ASCII = {"waiting": ".", "done": "ok", "failed": "NO", "undone": "<-", "leader": "*", "to": "->", "more": "..", "spin": "|/-\\"}


@dataclass(frozen=True)
class Table:
    """A board as lines of text, `width` columns wide and at most `height` lines high; `now` is in ns since the epoch.

    Where the nodes are too many, those at work and those that failed are shown first, and the others are counted.
    """

    board: Board
    marks: dict[str, str]
    now: int
    width: int
    height: int
    over: bool = False

    def drawn(self, below: Iterable[Text] = ()) -> Group:
        """All of it, with lines of others below the nodes."""
        board = self.board
        last = list(below)
        if board.outcome:
            said = wrapped(f"{board.outcome}: {board.reason}", self.width)
            last += [Text(line, style="bold green" if board.good else "bold red") for line in said]
        top = [self.phases()] if board.phases else []
        if board.faults:
            in_effect = ", ".join(f"{name} ({kind})" for name, kind in board.faults.items())
            top.append(Text(f"in effect: {in_effect}", style="yellow", no_wrap=True, overflow="ellipsis"))
        room = max(1, self.height - len(last) - len(top) - 3)  # the title, the heads of the columns, and the cursor's line
        return Group(self.title(), *top, *(self.nodes(room) if board.phases else self.disturbed(room)), *last)

    def disturbed(self, room: int) -> Iterator[Text]:
        """A line for each node of a scenario in which nothing is upgraded: the faults that it has now."""
        nodes = list(self.board.nodes.values())
        whole = room if len(nodes) <= room else room - 1
        shown = nodes[:whole]
        for node in shown:
            row = padded(self.name(node, max(map(len, self.board.nodes))), max(map(len, self.board.nodes)) + 2)
            held = [name for name in self.board.faults if node.name in self.board.where.get(name, ())]
            yield row.append(GAP).append(", ".join(held) or self.marks["waiting"], style="yellow" if held else "dim")
        if len(shown) < len(nodes):
            yield Text(f"and {len(nodes) - len(shown)} more", style="dim")

    def title(self) -> Text:
        """What the run is, how long it has taken, and how long it will take; what turns shows that it goes on."""
        board = self.board
        at = board.last if self.over or board.outcome else self.now
        spent = clock((at - (board.began or at)) / 1e9)
        ends = ""
        if board.ends and not board.outcome:
            whole = clock((board.ends - (board.began or 0)) / 1e9)
            ends = f" of about {whole}" if at <= board.ends else f", and about {whole} was expected"
        mark = self.marks["done" if board.good else "failed"] if self.over and board.outcome else self.spin()
        time = f"{spent}{ends}"
        line = Text(f"{mark} ", style="cyan" if not self.over else "")
        line.append(cut(board.title or "starting", self.width - len(time) - 5), style="bold")
        return line.append(f"{GAP}{time}", style="dim") if board.began else line

    def phases(self) -> Text:
        """A mark for each phase; what is being done just now stands behind them."""
        line = Text(no_wrap=True, overflow="ellipsis")
        for name, cell in self.board.phases.items():
            line.append(f"{name} ", style="dim" if cell.state == "waiting" else "")
            line.append(self.mark(cell).ljust(cell_len(self.marks["done"])), style=STYLES[cell.state]).append(GAP)
        doing, current = self.board.doing()
        if current:
            line.append(f" {doing} {seconds(current.took(self.now))}", style=STYLES[current.state])
        return line

    def nodes(self, room: int) -> Iterator[Text]:
        """A line for each node, in at most so many; before them the heads of the columns."""
        nodes = list(self.board.nodes.values())
        shown = nodes if len(nodes) <= room else _foremost(nodes, room - 1)
        name = min(max(map(len, self.board.nodes), default=4), max(12, self.width // 3))
        version = self.version_width(name)
        heads = GAP.join(("node".ljust(name + 2), "version".ljust(version), "gates".ljust(GATES), "steps"))
        yield Text(heads.rstrip(), style="dim")
        for node in shown:
            row = Text(no_wrap=True, overflow="ellipsis")
            row.append_text(padded(self.name(node, name), name + 2)).append(GAP)
            row.append_text(padded(self.version(node, version), version)).append(GAP)
            row.append_text(padded(self.gates(node), GATES)).append(GAP)
            yield row.append_text(self.steps(node, self.width - row.cell_len))
        if len(shown) < len(nodes):
            others = [node for node in nodes if node not in shown]
            done = sum(node.version != node.was for node in others)
            yield Text(f"and {len(others)} more: {done} changed, {len(others) - done} as they were", style="dim")

    def version_width(self, name: int) -> int:
        """Columns for `old → new`, or for one of them where both would leave too little for the steps."""
        known = [len(word) for node in self.board.nodes.values() for word in (node.was, node.version) if word]
        longest = max([*known, len(self.board.to), 6])
        both = 2 * longest + cell_len(self.marks["to"]) + 2
        return both if name + 2 + both + GATES + 3 * len(GAP) + STEPS <= self.width else longest

    def name(self, node: Node, width: int) -> Text:
        """The end of a long name: that is where the names of a cluster's nodes differ."""
        shown = node.name if len(node.name) <= width else self.marks["more"] + node.name[len(self.marks["more"]) - width :]
        name = Text(shown, style="bold red" if node.serving is False else "")
        return name.append(f" {self.marks['leader']}", style="yellow") if node.leader else name

    def version(self, node: Node, width: int) -> Text:
        """What ran, and what runs; where there is no room for both, what runs."""
        now = Text(node.version or "?", style="dim" if node.version == node.was else "green" if node.version else "red")
        old = Text(f"{node.was} {self.marks['to']} ", style="dim")
        return now if node.version == node.was or old.cell_len + now.cell_len > width else old.append_text(now)

    def gates(self, node: Node) -> Text:
        """How many passed, or how many failed."""
        cell = node.cells.get("gates", Cell())
        count = f" {cell.failed or cell.passed}" if cell.failed or cell.passed else ""
        return Text(f"{self.mark(cell)}{count}", style=STYLES[cell.state])

    def steps(self, node: Node, width: int) -> Text:
        """The steps that were begun, in that order; where there is no room for all, the last ones."""
        begun = [(name, cell) for name, cell in node.cells.items() if name != "gates" and cell.state != "waiting"]
        line = Text()
        for name, cell in sorted(begun, key=lambda one: -one[1].began):
            label = f"undo {name} " if cell.state in ("undoing", "undone") else f"{name} "
            more = Text(label).append(f"{self.mark(cell)} {seconds(cell.took(self.now))}".rstrip(), style=STYLES[cell.state])
            if line and line.cell_len + more.cell_len + len(GAP) > width:
                break
            line = more.append(GAP).append_text(line) if line else more
        return line or Text(self.marks["waiting"], style="dim")

    def mark(self, cell: Cell) -> str:
        """The mark of a state; what is at work turns."""
        return self.spin() if cell.state in ("running", "undoing") else self.marks[cell.state]

    def spin(self) -> str:
        """The spinner's picture of this moment."""
        pictures = self.marks["spin"]
        return pictures[self.now // FRAME % len(pictures)]


def _foremost(nodes: Sequence[Node], room: int) -> list[Node]:
    """So many nodes, in their order: those at work or in trouble, then those that were at work last."""

    def weight(node: Node) -> tuple[bool, int]:
        cells = node.cells.values()
        urgent = node.serving is False or any(cell.state in ("running", "undoing", "failed") for cell in cells)
        return urgent, max((cell.began for cell in cells), default=0)

    chosen = sorted(nodes, key=weight, reverse=True)[: max(0, room)]
    return [node for node in nodes if any(node is one for one in chosen)]


def padded(text: Text, width: int) -> Text:
    """A text with blanks up to a width."""
    text.append(" " * max(0, width - text.cell_len))
    return text


def seconds(took: float | None) -> str:
    """How long a step takes, in few columns."""
    return "" if took is None else f"{took:.1f}s" if took < LONG else clock(took)


def clock(spent: float) -> str:
    """Minutes and seconds; hours where there are some."""
    minutes, left = divmod(max(0, int(spent)), 60)
    return f"{minutes // HOUR}:{minutes % HOUR:02}:{left:02}" if minutes >= HOUR else f"{minutes}:{left:02}"
