"""Rows about hot paths: each can be walked, a new checker or parser has one by itself, and whose code was measured is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodewise.bench import earlier, inputs, micro, sampling, suite
from nodewise.bench import paths as hot
from nodewise.bench.figures import Row
from nodewise.bench.suite import Wish
from nodewise.errors import SetupError, UsageError
from nodewise.model import Operation, Verdict
from nodewise.simulation.checkers.durable import durable
from nodewise.simulation.checkers.registry import CHECKERS
from nodewise.smoke.protocols import READERS
from nodewise.testnet.home import checkout


def row(name: str) -> Row:
    """A row of milliseconds."""
    return Row(name, "", "ms", "value", 1)


def samples(root: Path, line: str) -> None:
    """Make a checkout that takes samples by a line of Python."""
    package = root / "src/nodewise/bench"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "sampling.py").write_text(line)


@pytest.mark.parametrize("path", hot.paths(), ids=lambda path: path.name)
def test_a_path_can_be_walked_again_and_again(path: hot.HotPath, tmp_path: Path) -> None:
    """Its input is taken for what it is made up to be, and a pass leaves the next one the same work."""
    walk = path.prepare(tmp_path)
    kept = [file.stat().st_size for file in sorted(tmp_path.rglob("*")) if file.is_file() and file.name != "plan.yaml"]
    walk()
    walk()
    assert kept == [file.stat().st_size for file in sorted(tmp_path.rglob("*")) if file.is_file() and file.name != "plan.yaml"]


def test_a_new_checker_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkers are found, with a limit until they have one of their own."""
    monkeypatch.setitem(CHECKERS, "sequential", durable)
    assert [hot.LIMIT] == [path.limit for path in hot.paths() if path.name == "checker-sequential"]


def test_a_checker_that_does_not_judge_has_no_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """How fast it says `unknown` is not what is asked."""

    def unsure(_history: list[Operation]) -> Verdict:
        return Verdict("unsure", "unknown", "nothing to judge")

    monkeypatch.setitem(CHECKERS, "unsure", unsure)
    path = next(path for path in hot.paths() if path.name == "checker-unsure")
    with pytest.raises(SetupError, match="checker unsure calls the made-up history unknown, expected valid: nothing to judge"):
        path.prepare(tmp_path)


def test_a_new_parser_wants_output_to_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has a row, which cannot be measured until there is something to parse."""
    monkeypatch.setitem(READERS, "subunit", READERS["tap"])  # type: ignore[misc]
    path = next(path for path in hot.paths() if path.name == "parser-subunit")
    with pytest.raises(SetupError, match=r"no output to read for parser subunit; add one to OUTPUT in .*inputs\.py"):
        path.prepare(tmp_path)


def test_gates_that_do_not_hold_have_no_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A made-up cluster that a gate refuses would be another piece of work."""
    seen = hot._seen

    def diverged(done: int) -> dict[str, Any]:
        found = seen(done)
        found["members"][0]["fingerprint"] = "other" if done == hot.MEMBERS - 1 else inputs.FINGERPRINT
        return found

    monkeypatch.setattr(hot, "_seen", diverged)
    with pytest.raises(SetupError, match=r"gates of the made-up cluster do not hold.*fingerprints_equal"):
        hot.judging(tmp_path)


def test_a_sample_is_of_one_pass() -> None:
    """Calls are counted: a sample is the time of one, in milliseconds, and the calibration beside it has one, too."""
    calls = []
    took, beside = sampling.sample(lambda: calls.append(sampling.calibrate()))
    assert 0.5 < took / beside < 2
    assert len(calls) * took > 1000 * sampling.SECONDS


def test_whose_code_was_measured_is_known(tmp_path: Path) -> None:
    """A sample by another nodewise than that of the checkout is no sample."""
    samples(tmp_path, "")
    (tmp_path / "src/nodewise/__init__.py").unlink()  # Python goes on looking then, and finds the nodewise that is installed
    with pytest.raises(SetupError, match=f"was measured in {checkout()}, expected {tmp_path}"):
        micro.measure(tmp_path, row("no-such-row"))


@pytest.mark.parametrize("line", ["raise SystemExit('out of memory')", "import no_such_package"])
def test_what_fails_has_no_figure(line: str, tmp_path: Path) -> None:
    """The error names the row, the code and what was said last."""
    samples(tmp_path, line)
    one = row("judge")
    with pytest.raises(SetupError, match=f"judge cannot be measured by the code in {tmp_path}: .*(memory|no_such_package)"):
        micro.measure(tmp_path, one)
    assert [] == one.nodewise


def test_a_row_that_the_earlier_code_lacks_has_no_sample(tmp_path: Path) -> None:
    """Code of before there were such rows, and code without this one, is not measured."""
    missing, unknown = row("judge"), row("no-such-row")
    micro.measure(tmp_path, missing)
    micro.measure(checkout(), unknown)
    assert [[], []] == [missing.nodewise, unknown.nodewise]


def test_both_codes_take_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each row is measured by one right after the other, so that neither of them has the quieter half of a round."""
    asked: list[str] = []
    monkeypatch.setattr(micro, "measure", lambda root, _row: asked.append("now" if root == checkout() else "before"))
    bench = micro.Micro(tmp_path, "0" * 40)
    bench.limit({"plan-1000", "judge"})
    bench.round(1)
    assert ["now", "before", "before", "now"] * 2 == asked


def test_an_earlier_commit_is_unpacked_as_it_was(tmp_path: Path) -> None:
    """What stands in the folder is what git has; the clone keeps nothing of it."""
    head = earlier.resolve("HEAD")
    assert head
    earlier.unpack(head, tmp_path)
    assert (tmp_path / "src/nodewise/__init__.py").exists()
    assert earlier.resolve("no-such-branch") is None
    with pytest.raises(SetupError, match="cannot be unpacked"):
        earlier.unpack("0" * 40, tmp_path)


def test_a_row_by_its_name(tmp_path: Path) -> None:
    """Only what has it is measured; a name that no row has is told with those that there are."""
    found = suite.chosen(Wish(rows={"judge"}), tmp_path)
    assert [["judge"]] == [[one.name for one in bench.rows] for bench in found]
    with pytest.raises(UsageError, match=r"no row juge; there are: .*judge"):
        suite.chosen(Wish(rows={"juge"}), tmp_path)
