"""The layers of tests and their report."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import layers
from layers import Case, Result

ROOT = Path(__file__).resolve().parents[2]


def result(*cases: Case, name: str = "unit", budget: float | None = 60, seconds: float = 1) -> Result:
    """A layer that has run."""
    return Result(name, budget, seconds, list(cases))


def test_every_folder_of_tests_is_a_layer() -> None:
    """The folders with tests in them are those of layers.toml, so that `make test-all` runs all of them."""
    folders = {
        path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py") if "collections" not in path.parts
    }
    assert folders == set(layers.load(ROOT))


def test_the_files_that_begin_first_are_there() -> None:
    """One that was renamed would begin in its place again, and be waited for alone."""
    named = [ROOT / "tests" / layer.name / file for layer in layers.load(ROOT).values() for file in layer.first]
    assert [] == [path for path in named if not path.exists()]


def test_every_layer_has_a_target() -> None:
    """Each layer is run by a target of its own, named after it."""
    targets = (ROOT / "Makefile").read_text()
    assert [] == [name for name in layers.load(ROOT) if f"\ntest-{name}: " not in targets]


def test_the_budgets_of_make_test() -> None:
    """What `make test` may take in all is less than 20 minutes, as the set-up takes some, too."""
    assert sum(layer.budget or 0 for layer in layers.load(ROOT).values()) < 20


def test_over_budget() -> None:
    """A layer that took too long is named with both times; far too long is a failure where budgets are strict."""
    slow, thrice = ([result(Case("test_a.py::test_a", "passed", took), seconds=took)] for took in (61, 181))
    assert "over budget: unit took 1:01, expected at most 1:00" in layers.report(slow, ROOT)
    assert [True, True] == [layers.good(slow, strict=True), layers.good(slow, strict=False)]
    assert [False, True] == [layers.good(thrice, strict=True), layers.good(thrice, strict=False)]
    thrice[0].slowness = 2.1  # 1.5 times the budget of a machine that takes 2.1 times as long
    assert layers.good(thrice, strict=True)
    assert "this machine takes 2.1 times as long as the one that budgets are for" in layers.report(thrice, ROOT)


def test_a_part_of_a_layer_has_no_budget() -> None:
    """Where only some tests were asked for, nothing is over budget."""
    assert layers.good([result(Case("test_a.py::test_a", "passed", 181), budget=None, seconds=181)], strict=True)


def test_the_report_fits() -> None:
    """The report reads well in 100 columns: a row a layer, the slowest tests with their layer, how a failed one is run alone."""
    long = f"test_bad_releases.py::test_{'and_so_on_' * 12}[3.4.23]"
    ran = [
        result(*(Case(f"{number}{long}", "passed", number) for number in range(20)), name=name) for name in ("unit", "integration")
    ]
    lines = layers.report(ran, ROOT)
    assert [] == [line for line in lines if len(line) > 100]
    assert [5 * 2, 10] == [sum(" s  " in line for line in lines[:12]), len(lines[lines.index("slowest ten") + 1 :])]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test_data.py::test_a", ' ARGS="-k test_a"'),
        ("test_data.py::test_a[3.4.23]", ' ARGS="-k test_a[3.4.23]"'),
        ("test_data.py::test_a[3.3.25 to 3.4.23]", """ ARGS="-k 'test_a[3.3.25 and to and 3.4.23]'\""""),  # -k takes no blank
        ("test_data.py::test_a[srv/x-`0` and not 1]", """ ARGS="-k 'test_a[srv/x- and 0 and 1]'\""""),
        ("tests.system.test_data", ""),  # a file that could not be read
    ],
)
def test_the_command_for_one_test(name: str, words: str) -> None:
    """A failed test is named with the command that runs it by itself."""
    assert f"make test-system{words}" == layers.alone("system", name)


def test_the_command_for_one_test_selects_it(tmp_path: Path) -> None:
    """Pytest understands it, and runs the test that has failed."""
    names = ["3.3.25 to 3.4.23", "a > `0` and not b", "srv/x, y-1"]
    (tmp_path / "test_data.py").write_text(
        f"import pytest\n@pytest.mark.parametrize('one', range({len(names)}), ids={names})\ndef test_a(one): print(one)\n"
    )
    for name in names:
        words = shlex.split(shlex.split(layers.alone("unit", f"test_data.py::test_a[{name}]"))[-1].removeprefix("ARGS="))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-q",
            "--collect-only",
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
        ]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert f"test_a[{name}]" in done.stdout, done.stdout + done.stderr


def test_results_of_other_layers_stay() -> None:
    """A row of the page of results is the last run of its layer; rows stand in the layers' order."""
    order = ["unit", "system"]
    page = layers.results_page("", [result(Case("test_a.py::test_a", "failed", 1), name="system")], "abc+", "2026-11-28", order)
    page = layers.results_page(page, [result(Case("test_a.py::test_a", "passed", 1))], "def", "2026-11-29", order)
    page = layers.results_page(page, [result(Case("test_a.py::test_a", "skipped", 1))], "fed", "2026-11-30", order)
    rows = ["| unit | fed | 2026-11-30 | 0 | 0 | 1 | 0:01 |", "| system | abc+ | 2026-11-28 | 0 | 1 | 0 | 0:01 |"]
    assert rows == page.splitlines()[-2:]


def test_pytest_that_did_not_end_has_failed() -> None:
    """A layer whose pytest did not get to its end counts as failed, also when no test is to blame."""
    broken = result(Case("test_a.py::test_a", "passed", 1))
    broken.broken.append("pytest did not get to its end (exit code 3)")
    assert ["1 passed, 1 failed", False] == [layers.last_line([broken]), layers.good([broken], strict=False)]
