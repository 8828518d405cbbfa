"""What recorded journals look like: as a table on a terminal, and as plain lines."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nodewise.simulation.workloads.stats import Stats
from nodewise.views.live import View, follow_journal

CASES = Path(__file__).parents[1] / "cases" / "view"


def journal(name: str) -> list[dict[str, Any]]:
    """The records of a recorded journal."""
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text().splitlines()]


def utf8() -> io.TextIOWrapper:
    """A stream that takes all characters."""
    return io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)


def read(stream: io.TextIOWrapper) -> str:
    """What was written to it."""
    stream.seek(0)
    return stream.read()


def table(records: list[dict[str, Any]], width: int = 80, stats: Stats | None = None) -> list[str]:
    """The table after these records, as text."""
    view = View([], utf8(), tty=False, clock=lambda: records[-1]["t"])
    for record in records:
        view.feed(record)
    if stats:
        view.workload(stats)
    drawn = Console(file=io.StringIO(), width=width)
    with drawn.capture() as capture:
        drawn.print(view.table())
    return [line.rstrip() for line in capture.get().splitlines()]


def plain(records: list[dict[str, Any]]) -> list[str]:
    """What a view prints where there is no terminal."""
    stream = utf8()
    with View([], stream, tty=False) as view:
        for record in records:
            view.feed(record)
    return read(stream).splitlines()


def until(records: list[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    """The records up to the first with these fields."""
    end = next(n for n, record in enumerate(records) if all(record.get(key) == value for key, value in wanted.items()))
    return records[: end + 1]


def test_an_upgrade_that_went_well() -> None:
    """All steps are done, the versions moved, and the new leader is marked."""
    assert table(journal("upgraded")) == [
        "upgrade of demo to 3.5.16",
        "probe ✓  plan ✓  secure ✓  stage ✓  roll ✓  finalize ✓",
        "node  version          secure  stage   drain   switch  settle  gates",
        "n1    3.4.23 → 3.5.16  ✓ 0.7s  ✓ 0.8s  ✓ 0.3s  ✓ 0.7s  ✓ 0.5s  ✓ 8",
        "n2 ★  3.4.23 → 3.5.16  ✓ 0.7s  ✓ 1.8s  ·       ✓ 0.7s  ✓ 0.5s  ✓ 5",
        "n3    3.4.23 → 3.5.16  ✓ 0.7s  ✓ 3.0s  ·       ✓ 0.7s  ✓ 0.5s  ✓ 5",
        "upgraded: every member runs 3.5.16",
    ]


def test_an_upgrade_that_was_rolled_back() -> None:
    """The current node shows what failed and that it was undone; the others keep what they have; the phase ends with the run."""
    drawn = table(journal("rolled_back"))
    assert drawn[1] == "probe ✓  plan ✓  secure ✓  stage ✓  roll ✗ 14.3s  finalize ·"
    assert drawn[4] == "n2    3.4.23 → 3.5.16  ✓ 0.7s  ✓ 1.8s  ·       ✓ 0.7s  ✓ 0.5s   ✓ 5"
    assert drawn[5] == "n3    3.4.23           ✓ 0.7s  ✓ 3.0s  ·       ↩ 1.7s  ✗ 10.0s  ✗ 3"
    assert drawn[-2:] == [
        "rolled_back: n3: switch failed: settled: the cluster did not settle in time",
        "It is back on 3.4.23, 4 gates hold as before, and writes were not tried",
    ]


def test_a_node_in_the_middle_of_its_switch() -> None:
    """A running step shows a spinner and its seconds, later ones wait."""
    records = until(journal("upgraded"), kind="step", step="switch", phase="begin", node="n2")
    view = View([], utf8(), tty=False, clock=lambda: records[-1]["t"] + 1_500_000_000)
    for record in records:
        view.feed(record)
    cell = view.board.nodes["n2"].cells["switch"]
    assert (cell.state, cell.took(records[-1]["t"] + 1_500_000_000)) == ("running", 1.5)
    assert (
        " 1.5s  ·       ·"
        in table([*records, {**records[-1], "kind": "of a later release", "t": records[-1]["t"] + 1_500_000_000}])[4]
    )


@pytest.mark.parametrize("name", ["upgraded", "rolled_back"])
def test_no_line_is_wider_than_a_narrow_terminal(name: str) -> None:
    """At 80 columns each moment's table fits without a cell cut short."""
    records = journal(name)
    for end in range(1, len(records) + 1):
        drawn = table(
            records[:end], stats=Stats(ok=1234567, failed=3, info=2, rate=1000, p99_ms=1234, longest_stall_ms=9999, lost=1)
        )
        assert all(len(line) <= 80 and "…" not in line for line in drawn)


def test_the_workload_has_its_line() -> None:
    """Operations, failures and the longest stall are shown; what is lost only once it is known."""
    (line,) = [
        line
        for line in table(journal("upgraded"), stats=Stats(ok=4321, rate=200, p99_ms=8.3, longest_stall_ms=143))
        if "/s" in line
    ]
    assert line == "workload  200/s  4,321 ok  0 failed  0 maybe  p99 8 ms  stall 143 ms"


def test_a_failed_gate_is_told_with_its_evidence() -> None:
    """Elsewhere than on a terminal, each event worth it is a line with the time into the run."""
    told = plain(journal("rolled_back"))
    assert "    0.0s  upgrade of demo to 3.5.16" in told
    assert "    6.0s  n2  runs 3.5.16 (was 3.4.23)" in told
    at = told.index("   17.0s  n3  gate members_serving failed: a member does not serve")
    assert told[at + 1] == '            found: ["n3"]'
    assert "   17.3s  n3  is put back" in told
    assert told[-2] == "   19.1s  rolled_back: n3: switch failed: settled: the cluster did not settle in time"


def test_the_plan_is_told() -> None:
    """The plan's text stands in the lines as soon as it is ready."""
    assert "            1. n2  follower, the canary" in plain(until(journal("upgraded"), step="plan", phase="end"))


def test_plain_lines_have_no_escapes_and_no_table() -> None:
    """A log file gets text alone."""
    assert not any("\x1b" in line or "✓" in line for line in plain(journal("rolled_back")))


def test_a_terminal_keeps_failures_above_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a failed gate is a line that stays, in colour, and NO_COLOR takes the colour away."""
    outputs = []
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("TERM", "xterm-256color")
        stream = utf8()
        with View([], stream, tty=True) as view:
            for record in journal("rolled_back"):
                view.feed(record)
        outputs.append(read(stream))
    assert all("gate members_serving failed" in output and "finalize" in output for output in outputs)
    assert "\x1b[31m" in outputs[0]
    assert "\x1b[31m" not in outputs[1]


def test_a_stream_that_cannot_take_the_marks_gets_ascii() -> None:
    """Under an ASCII locale nothing crashes and the table stays readable."""
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    with View(["n1"], stream, tty=True) as view:
        for record in journal("upgraded"):
            view.feed(record)
    assert "3.4.23 -> " in read(stream)


def test_a_step_of_a_system_s_own_has_a_column() -> None:
    """A step that no built-in system has is shown before settle."""
    records = journal("upgraded")[:8]
    records.append({**records[-1], "kind": "step", "phase": "begin", "step": "pause", "node": "n1"})
    assert table(records)[2].split() == ["node", "version", "secure", "stage", "drain", "switch", "pause", "settle", "gates"]


def test_following_a_journal_feeds_each_whole_line_once(tmp_path: Path) -> None:
    """What is written before the stop is fed, torn lines are not, and a journal may appear late."""
    path, stop, fed = tmp_path / "journal.jsonl", threading.Event(), []
    first, second = journal("upgraded")[:2]
    seen = threading.Event()

    def feed(record: dict[str, Any]) -> None:
        fed.append(record)
        seen.set()

    thread = threading.Thread(target=follow_journal, args=(path, feed, stop))
    thread.start()
    path.write_text(json.dumps(first) + '\n{"t": 1, "ki')
    assert seen.wait(5)
    with path.open("a") as file:
        file.write("\n" + json.dumps(second) + "\n" + json.dumps(second)[:20])
    stop.set()
    thread.join()
    assert fed == [first, second]


def test_a_line_is_printed_while_the_table_can_be_drawn() -> None:
    """Lines that stay are printed from one thread while another draws the table: neither holds what the other needs."""
    drawn = []

    class Watched(View):
        def say(self, _line: str, _style: str = "") -> None:
            drawing = threading.Thread(target=self.table, daemon=True)
            drawing.start()
            drawing.join(5)
            drawn.append(not drawing.is_alive())

    Watched(["n1"], io.StringIO(), tty=True).feed({"t": 1, "seq": 1, "kind": "note", "phase": "end", "text": "a line"})
    assert [True] == drawn


def test_a_record_that_cannot_be_shown_hides_no_other(tmp_path: Path) -> None:
    """It is named in one line, and what follows is told; control characters do not reach the terminal."""
    path, stop, stream = tmp_path / "journal.jsonl", threading.Event(), utf8()
    note = {"t": 1, "kind": "note", "phase": "end"}
    records = [{**note, "seq": 1, "kind": "gate"}, {**note, "seq": 2, "text": "half \udc80, bell \x07, \x1b[31mred"}]
    path.write_text("".join(json.dumps(one) + "\n" for one in [*records, {**note, "seq": 3, "text": "the end"}]))
    stop.set()
    with View([], stream, tty=False) as view:
        follow_journal(path, view.feed, stop)
    told = read(stream).splitlines()
    assert f"record 1 of {path} cannot be shown (KeyError: 'ok')" in told[0]
    assert "half ?, bell \ufffd, \ufffd[31mred" in told[1]
    assert told[2].endswith("the end")


def test_a_fault() -> None:
    """In effect it stands on top of the table, and healed it does not; both are said in lines, with what shows it."""
    asked = {"t": 1, "seq": 1, "kind": "fault", "phase": "begin", "fault": "cut", "what": "partition", "state": "asked"}
    begun = {**asked, "seq": 2, "state": "in_effect", "evidence": "n1 is deaf to n2"}
    over = [{**asked, "seq": 3, "phase": "end", "state": "healing"}, {**begun, "seq": 4, "phase": "end", "state": "healed"}]
    assert "in effect: cut (partition)" in table([asked, begun])[1]
    assert not any("in effect: " in line for line in table([asked, begun, *over]))
    said = [line.strip() for line in plain([asked, begun, *over, {**asked, "phase": "end", "state": "failed", "error": "no"}])]
    assert "fault cut (partition) is in effect: n1 is deaf to n2" in said[0]
    assert "fault cut (partition) is healed: n1 is deaf to n2" in said[1]
    assert "fault cut (partition) failed: no" in said[2]
