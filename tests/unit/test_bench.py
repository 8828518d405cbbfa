"""What the benchmark makes of samples: medians, ratios, limits and the table."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodewise.bench import faults, figures, phases, smoke, stalls, suite, table
from nodewise.bench.figures import Report, Row
from nodewise.bench.paths import paths
from nodewise.bench.suite import Wish
from nodewise.errors import SetupError, UsageError
from nodewise.model import Operation
from nodewise.simulation import scenario

from .benched import Made, command, row

ROOT = Path(__file__).resolve().parents[2]
POSTGRESQL = ("postgresql-roll", "postgresql-upgrade", "postgresql-handover", "postgresql-failed")
MICRO = [path.name for path in paths()]
SCALE = ("scale-50", "scale-memory-50", "scale-200", "scale-memory-200")
FAULTS = ("partition-5", "partition-healed", "scenario")
UPGRADED = ("cluster-5", *FAULTS, "roll", "upgrade", "stall", "stall-whole", "failed", *POSTGRESQL, "app-roll")


@pytest.mark.parametrize(
    ("floor", "nodewise", "ratio", "met"),
    [
        ([2.0, 2.0, 9.0], [7.0, 1.0, 6.0], 3.0, True),
        ([2.0, 4.0], [10.5], 3.5, True),
        ([2.0], [7.1], 3.55, False),
        ([], [7.0], None, False),
        ([2.0], [], None, False),
        ([0.0], [1.0], None, False),
    ],
)
def test_a_limit_of_the_ratio(floor: list[float], nodewise: list[float], ratio: float | None, met: bool) -> None:
    """A ratio is of medians, so one slow sample moves nothing; what was not measured is not met."""
    one = row(floor=floor, nodewise=nodewise)
    assert [ratio, met] == [one.ratio, one.met]


@pytest.mark.parametrize(("nodewise", "met"), [([14.0, 16.0, 14.9], True), ([15.1], False), ([], False)])
def test_a_limit_of_the_value(nodewise: list[float], met: bool) -> None:
    """Without a floor the limit is of the median itself."""
    assert met == Row("cluster-5", "", "s", "value", 15, nodewise=nodewise).met


@pytest.mark.parametrize("content", [None, "", "{}", '{"rows": []}', "[1]"])
def test_an_earlier_file_that_is_none(content: str | None, tmp_path: Path) -> None:
    """A file that is missing or of another shape is named, before anything is measured."""
    if content is not None:
        (tmp_path / "bench.json").write_text(content)
    with pytest.raises(UsageError, match=r"bench\.json"):
        figures.load(tmp_path)


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What is compared next month is what was measured today."""
    made = Report({"cores": 2}, [row(floor=[1.5], usual=[9.0], nodewise=[3.0])], {"roll": {"start": 1.0}})
    made.save(tmp_path / "bench.json")
    assert made == figures.load(tmp_path / "bench.json") == figures.load(tmp_path)


def test_the_table() -> None:
    """A line a row, with medians, ratios, the limit and whether it is met."""
    rows = [row(floor=[2.0], usual=[20.0], nodewise=[8.0]), Row("failed", "operations", "operations", "value", 0, nodewise=[0])]
    lines = [line.split() for line in table.table(rows)]
    assert ["row", "floor", "usual", "nodewise", "ratio", "limit", "met", "of", "usual", "what"] == lines[0]
    assert ["roll", "2.00", "s", "20.00", "s", "8.00", "s", "4.00", "3.5", "NO", "0.40", "an", "upgrade"] == lines[1]
    assert ["failed", "-", "-", "0", "-", "0", "yes", "-", "operations"] == lines[2]


def test_phases_are_the_whole_time() -> None:
    """Each phase lasts until the next begins; what is before the first and after the last record counts, too."""
    second = 1_000_000_000
    told: list[tuple[str, str, dict[str, Any]]] = [
        ("note", "end", {}), ("step", "begin", {"step": "probe"}), ("step", "end", {"step": "probe"}),
        ("step", "begin", {"step": "roll"}), ("step", "begin", {"step": "switch", "node": "n1"}),
        ("step", "begin", {"step": "settle"}), ("note", "end", {}),
    ]  # fmt: skip
    records = [{"t": (at + 2) * second, "kind": kind, "phase": phase, **more} for at, (kind, phase, more) in enumerate(told)]
    assert {"start": 2.0, "probe": 2.0, "roll": 3.0, "end": 2.0} == phases.shares(records, second, 10 * second)


def test_medians_of_phases() -> None:
    """Of several runs each phase has its own median, in order."""
    runs = [{"start": 1.0, "roll": 5.0}, {"start": 3.0, "roll": 4.0}, {"start": 2.0, "roll": 9.0}]
    assert [("start", 2.0), ("roll", 5.0)] == list(phases.medians(runs).items())
    assert {} == phases.medians([])


@pytest.mark.parametrize(
    ("began", "ended", "longest"), [(0, 100, 50.0), (0, 1, 20.0), (35, 36, 50.0), (70, 90, 30.0), (101, 200, 0.0)]
)
def test_stalls_of_a_part_of_a_run(began: int, ended: int, longest: float) -> None:
    """A client's wait lasts from one acknowledged operation to its next, whatever failed between; it counts where it overlaps."""
    ms = 1_000_000
    told = [
        (0, "ok", 0),
        (1, "ok", 10),
        (0, "ok", 20),
        (0, "info", 30),
        (1, "ok", 35),
        (0, "ok", 70),
        (1, "fail", 80),
        (0, "ok", 100),
    ]
    operations = [Operation(process, kind, "read", "k", None, at * ms) for process, kind, at in told]  # type: ignore[arg-type]
    waits = stalls.waits(operations, epoch=1000 * ms)
    assert longest == stalls.longest_ms(waits, stalls.Wait((1000 + began) * ms, (1000 + ended) * ms))


@pytest.mark.parametrize(("words", "code"), [(["--strict"], 1), ([], 0)])
def test_limits_bind_only_when_they_are_to(words: list[str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A limit that is not met is printed; it is an exit code only with --strict."""
    found, output = command(monkeypatch, tmp_path, [Made(4.0)], "--rounds", "1", *words)
    assert code == found
    assert " NO " in output
    written = next(tmp_path.glob("runs/*/bench.json"))
    assert [4.0] == json.loads(written.read_text())["rows"][0]["nodewise"]


def test_what_failed_has_no_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A round that fails ends the run with its reason, without a table or a file, and all is cleaned up."""
    bench = Made(4.0)
    code, output = command(monkeypatch, tmp_path, [bench], "--rounds", "2")
    assert 4 == code
    assert "error: the upgrade ended rolled_back" in output
    assert "nodewise" not in output
    assert [] == list(tmp_path.glob("runs/*/bench.json"))
    assert ["prepare", "round 1", "round 2", "clean"] == bench.asked


@pytest.mark.parametrize(
    ("names", "full", "rows"),
    [
        ((), False, [*MICRO, "scale-50", "scale-memory-50", "nodes-5", "smoke-5", *UPGRADED]),
        ((), True, [*MICRO, *SCALE, "nodes-5", "nodes-10", "smoke-5", "smoke-10", *UPGRADED, "app-batches-30", "demo"]),
        (("micro",), False, MICRO),
        (("roll", "nodes"), False, ["nodes-5", "roll", "upgrade", "stall", "stall-whole", "failed"]),
        (("smoke",), False, ["smoke-5"]),
        (("faults",), False, [*FAULTS]),
        (("postgresql",), False, [*POSTGRESQL]),
        (("app",), True, ["app-roll", "app-batches-30"]),
        (("demo",), False, ["demo"]),
    ],
)
def test_which_rows_are_measured(names: tuple[str, ...], full: bool, rows: list[str], tmp_path: Path) -> None:
    """What takes long is left out unless it is asked for."""
    assert rows == [one.name for bench in suite.chosen(Wish(names, full), tmp_path) for one in bench.rows]


@pytest.mark.parametrize(("passed", "figures"), [(500, [3.0]), (499, []), (None, [])])
def test_a_smoke_run(passed: int | None, figures: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It counts from the journal's first record on; one in which a script is missing has no figure."""

    def playbook(words: list[str], log: Path, env: dict[str, str]) -> float:  # noqa: ARG001  (timed's)
        folder = Path(env["NODEWISE_RUN_DIR"])
        folder.mkdir()
        (folder / "summary.json").write_text(json.dumps({"smoke": {"passed": passed} if passed else {}}))
        (folder / "journal.jsonl").write_text(json.dumps({"t": 2_000_000_000, "seq": 1}) + "\n")
        return 4.0

    monkeypatch.setattr(smoke, "timed", playbook)
    monkeypatch.setattr(smoke, "ansible", lambda _net: {})
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    bench = smoke.Smoke(5, tmp_path)
    bench._net = None  # type: ignore[assignment]
    with nullcontext() if figures else pytest.raises(SetupError, match=f"{passed} scripts passed, expected 500"):
        bench._nodewise(1)
    assert figures == bench.row.nodewise


def test_the_limits_are_those_of_the_documentation() -> None:
    """docs/benchmarks.md states each row with its limit."""
    lines = (ROOT / "docs/benchmarks.md").read_text().splitlines()
    stated = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    rows = [one for bench in suite.chosen(Wish(full=True), ROOT) for one in bench.rows]
    assert [one.name for one in rows] == list(stated)
    assert [] == [one.name for one in rows if f"≤ {one.limit:g}" not in stated[one.name]]


def test_the_usual_playbook_has_nine_tasks() -> None:
    """What Nodewise is compared with stays what the documentation says it is."""
    play = yaml.safe_load((ROOT / "src/nodewise/bench/usual.yml").read_text())[0]
    assert [9, 1] == [len(play["tasks"]), play["serial"]]


def test_what_a_scenario_asks_for_itself() -> None:
    """Its warm-up, before and after, and its fault, with the times that the seed draws."""
    one = scenario.load(faults.NAME)
    (event,) = one.events(faults.SEED)
    assert one.workload.warmup + event.at + event.lasts + one.workload.warmup == faults.own(one)
    assert 8 <= faults.own(one) <= 12
