"""What recorded journals look like: as a table on a terminal, and as plain lines."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nodewise.simulation.workloads.stats import Stats
from nodewise.views.live import View, follow_journal
from nodewise.views.words import Line

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


def frames(
    records: list[dict[str, Any]], width: int = 80, height: int = 24, stats: Stats | None = None, *, over: bool = False
) -> Iterator[list[str]]:
    """The table after each of these records, as text."""
    now = [0]
    view = View([], utf8(), tty=False, clock=lambda: now[0])
    drawn = Console(file=io.StringIO(), width=width, height=height)
    for number, record in enumerate(records, 1):
        now[0] = record["t"]
        view.feed(record)
        if stats:
            view.workload(stats)
        if over and number == len(records):
            view.close()
        with drawn.capture() as capture:
            drawn.print(view.table())
        yield [line.rstrip() for line in capture.get().splitlines()]


def table(*args: Any, **more: Any) -> list[str]:
    """The table after the last of these records; see `frames`."""
    *_before, last = frames(*args, **more)
    return last


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
    """All steps are done, the versions moved, and the new leader is marked; on top is what the run was, and how long it took."""
    assert table(journal("upgraded"), over=True) == [
        "✓ upgrade of demo to 3.5.16  0:09",
        "probe ✓  plan ✓  secure ✓  stage ✓  roll ✓  finalize ✓",
        "node  version          gates  steps",
        "n1    3.4.23 → 3.5.16  ✓ 8    drain ✓ 0.3s  switch ✓ 0.7s  settle ✓ 0.5s",
        "n2 ★  3.4.23 → 3.5.16  ✓ 5    stage ✓ 1.8s  switch ✓ 0.7s  settle ✓ 0.5s",
        "n3    3.4.23 → 3.5.16  ✓ 5    stage ✓ 3.0s  switch ✓ 0.7s  settle ✓ 0.5s",
        "upgraded: every member runs 3.5.16",
    ]


def test_an_upgrade_that_was_rolled_back() -> None:
    """The current node shows what failed and that it was undone; the others keep what they have; the phase ends with the run."""
    drawn = table(journal("rolled_back"), over=True)
    assert drawn[:2] == ["✗ upgrade of demo to 3.5.16  0:19", "probe ✓  plan ✓  secure ✓  stage ✓  roll ✗  finalize ·"]
    assert drawn[4] == "n2    3.4.23 → 3.5.16  ✓ 5    stage ✓ 1.8s  switch ✓ 0.7s  settle ✓ 0.5s"
    assert drawn[5] == "n3    3.4.23           ✗ 3    stage ✓ 3.0s  settle ✗ 10.0s  undo switch ↩ 1.7s"
    assert drawn[-2:] == [
        "rolled_back: n3: switch failed (see above, 17.0s)",
        "It is back on 3.4.23, 4 gates hold as before, and writes were not tried",
    ]


def test_a_node_in_the_middle_of_its_switch() -> None:
    """A running step shows a spinner and its seconds; the batch is named, and later nodes wait."""
    records = until(journal("upgraded"), kind="step", step="switch", phase="begin", node="n2")
    drawn = table([*records, {**records[-1], "kind": "of a later release", "t": records[-1]["t"] + 1_500_000_000}])
    assert re.search(r"switch [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] 1\.5s$", drawn[4])
    assert "  batch 1" in drawn[1]


def test_something_turns_all_the_time() -> None:
    """Until the view is closed there is a spinner on top, also before the first record, between steps, and while it is judged."""
    view = View(["demo-n1"], utf8(), tty=False, clock=lambda: 0)
    assert view.drawn(80, 24).renderables[0].plain[0] == "⠋"
    for record in journal("checked"):
        view.feed(record)
        assert view.drawn(80, 24).renderables[0].plain[0] == "⠋"
    view.close()
    assert view.drawn(80, 24).renderables[0].plain[0] == "✓"


SIZES = [(80, 24), (200, 50), (132, 12)]
BUSY = Stats(ok=1234567, failed=3, info=2, rate=1000, p99_ms=1234, longest_stall_ms=9999, lost=1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["upgraded", "rolled_back", "checked"])
def test_the_table_fits_the_terminal(name: str, size: tuple[int, int]) -> None:
    """At each moment no line is too long and none is cut short, at the sizes that terminals have."""
    for drawn in frames(journal(name), *size, BUSY):
        assert len(drawn) < size[1]
        assert all(len(line) <= size[0] and "…" not in line for line in drawn)
        (load,) = (line for line in drawn if line.startswith("workload"))
        assert load.endswith("lost 1  p99 1.2s  stall 10.0s")


@pytest.mark.parametrize("size", SIZES)
def test_nothing_moves_aside(size: tuple[int, int]) -> None:
    """From the first record to the last the columns begin where they began, whatever steps a system has."""
    drawn = list(frames(journal("checked"), *size))
    assert {one[2].rstrip() for one in drawn} == {"node       version          gates  steps"}
    assert {one[1].index("finalize") for one in drawn} == {drawn[0][1].index("finalize")}


def test_a_wide_terminal_shows_every_step() -> None:
    """What a narrow one has no room for is shown on a wide one."""
    drawn = table(journal("checked"), 200, 50)
    assert drawn[3] == "demo-n1 ★  3.4.23 → 3.5.16  ✓ 12   secure ✓ 5.8s  stage ✓ 18.5s  switch ✓ 8.9s  mixed_version_check ✓ 4.7s"


def test_how_long_it_will_take() -> None:
    """What earlier runs took stands beside the time that has gone by, from the plan on; without such runs only that."""
    records = journal("checked")
    assert table(until(records, step="probe", phase="end"))[0].endswith("upgrade of demo to 3.5.16  0:19")
    assert table(until(records, step="secure", phase="end", node=None))[0].endswith("  1:04 of about 2:41")


def test_more_nodes_than_lines() -> None:
    """Those at work and in trouble are shown, the others are counted, and what stands below is not cut off."""
    begun = {"t": 1, "seq": 1, "kind": "note", "phase": "end", "text": "upgrade of big", "members": [f"n{n}" for n in range(50)]}
    at_work = {"t": 2, "seq": 2, "kind": "step", "phase": "begin", "step": "switch", "node": "n41"}
    drawn = table([begun, at_work], stats=BUSY)
    assert len(drawn) < 24
    assert any(line.startswith("n41 ") and "switch" in line for line in drawn)
    assert drawn[-2:] == ["and 32 more: 0 changed, 32 as they were", drawn[-1]]
    assert drawn[-1].startswith("workload")


def test_long_names_and_versions() -> None:
    """Of a long name the end is shown, which differs; of two long versions the one that runs."""
    names = [f"prod-eu-west-1-payments-store-{n:02}" for n in (1, 2)]
    members = [{"name": name, "version": "15.20-0+deb12u1", "serving": True} for name in names]
    seen = {"t": 2, "seq": 2, "kind": "observe", "phase": "end"}
    before = {"cluster": {"leader": names[0]}, "members": [{**one, "version": "15.18-0+deb12u1"} for one in members]}
    after = {"cluster": {"leader": names[1]}, "members": members}
    note = {"t": 1, "seq": 1, "kind": "note", "phase": "end", "text": "upgrade of payments", "to": "15.20-0+deb12u1"}
    records = [note, {**seen, "observation": before}, {**seen, "observation": after}]
    assert table(records)[3:5] == [
        "…-west-1-payments-store-01    15.20-0+deb12u1  ·      ·",
        "…-west-1-payments-store-02 ★  15.20-0+deb12u1  ·      ·",
    ]
    assert table(records, 200, 50)[3].startswith(f"{names[0]}    15.18-0+deb12u1 → 15.20-0+deb12u1  ")


def test_the_plan_is_broken_between_words_once() -> None:
    """On a terminal each line of a plan is as long as that is wide, and goes on under its own text."""
    (plan,) = [record for record in journal("checked") if record.get("plan")]
    stream = utf8()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("TERM", "xterm")
        with View([], stream, tty=True) as view:
            view.feed(plan)
    above = read(stream).replace("\x1b[2K", "\n")  # that is where the table began, which is taken away
    said = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", above).splitlines()
    assert all(len(line) <= 80 for line in said)
    first = said.index("            gap        no smoke suites: what the service is there for is not")
    assert said[first + 1] == "                       tried (nodewise_suite=NAME to run one)"


def test_the_workload_has_its_line() -> None:
    """Operations, failures and the longest stall are shown; what is lost only once it is known."""
    (line,) = [
        line
        for line in table(journal("upgraded"), stats=Stats(ok=4321, rate=200, p99_ms=8.3, longest_stall_ms=143))
        if "/s" in line
    ]
    assert line == "workload 200/s  4,321 ok  0 failed  0 maybe  p99 8 ms  stall 143 ms"


def test_a_failed_gate_is_told_with_its_evidence() -> None:
    """Elsewhere than on a terminal, each event worth it is a line with the time into the run."""
    told = plain(journal("rolled_back"))
    assert "    0.0s  upgrade of demo to 3.5.16" in told
    assert "    6.0s  n2  runs 3.5.16 (was 3.4.23)" in told
    at = told.index("   17.0s  n3  gate members_serving failed: a member does not serve")
    assert told[at + 1] == '            found: ["n3"]'
    assert "   17.3s  n3  is put back" in told
    assert told[-2] == "   19.1s  rolled_back: n3: switch failed (see above, 17.0s)"


def test_a_failure_is_told_once() -> None:
    """The gates say why, and neither the step nor the outcome says it again; of a phase the outcome alone says it."""
    told = "\n".join(plain(journal("rolled_back")))
    assert told.count("the cluster did not settle in time") == 1
    assert told.count("a member does not serve") == 1
    assert "   17.0s  n3  switch failed\n" in told
    step = {"t": 1, "seq": 1, "kind": "step", "phase": "end", "step": "plan", "ok": False, "error": "n1 has no room"}
    ended = {"t": 2, "seq": 2, "kind": "note", "phase": "end", "text": "n1 has no room", "outcome": "refused"}
    assert [line.strip() for line in plain([step, ended])] == ["0.0s  refused: n1 has no room"]
    of_node = {**step, "step": "stage", "node": "n1"}
    ended = {**ended, "text": "stage failed on n1: n1 has no room\nn2: no answer"}
    assert [line.strip() for line in plain([of_node, {**step, "seq": 2, "step": "stage"}, ended])] == [
        "0.0s  n1  stage failed: n1 has no room",
        "0.0s  refused: stage failed on n1 (see above, 0.0s)",
        "n2: no answer",
    ]


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
        def say(self, *_lines: Line) -> None:
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
    """In effect it stands above the nodes, and healed it does not; both are said in lines, with what shows it."""
    asked = {"t": 1, "seq": 1, "kind": "fault", "phase": "begin", "fault": "cut", "what": "partition", "state": "asked"}
    begun = {**asked, "seq": 2, "state": "in_effect", "evidence": "n1 is deaf to n2"}
    over = [{**asked, "seq": 3, "phase": "end", "state": "healing"}, {**begun, "seq": 4, "phase": "end", "state": "healed"}]
    shown = table([asked, begun])
    assert shown.index("in effect: cut (partition)") < next(number for number, line in enumerate(shown) if line.startswith("node "))
    assert not any("in effect: " in line for line in table([asked, begun, *over]))
    said = [line.strip() for line in plain([asked, begun, *over, {**asked, "phase": "end", "state": "failed", "error": "no"}])]
    assert "fault cut (partition) is in effect: n1 is deaf to n2" in said[0]
    assert "fault cut (partition) is healed: n1 is deaf to n2" in said[1]
    assert "fault cut (partition) failed: no" in said[2]


def test_a_scenario_in_which_nothing_is_upgraded() -> None:
    """No versions, gates and steps that there are not: each node has the faults that it has now, in 24 lines of 80 columns."""
    names = [f"demo-n{number}" for number in range(1, 31)]
    asked = {"t": 1, "seq": 1, "kind": "fault", "phase": "begin", "fault": "cut", "what": "partition", "state": "asked"}
    where = {"demo-n1": {"by": "nftables", "peers": ["demo-n2"]}}
    view = View(names, utf8(), tty=True, clock=lambda: 3, phases=(), title="leader-isolated on demo")
    for record in ({**asked, "where": where}, {**asked, "seq": 2, "state": "in_effect", "evidence": "it is"}):
        view.board.feed(record)
    said = Console(file=(stream := utf8()), width=80, height=24, force_terminal=False)
    said.print(view.drawn(80, 24))
    lines = [line.rstrip() for line in read(stream).splitlines()]
    assert ["in effect: cut (partition)", "demo-n1     cut", "demo-n2     ·"] == [" ".join(lines[1].split()), *lines[2:4]]
    assert "and 11 more" == lines[-1]
    assert len(lines) < 24
