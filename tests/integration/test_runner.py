"""The runner of the layers, on a checkout of its own: it is red whenever not everything was seen to pass."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYER = """[{name}]
what = "some"
budget = {budget}
whole = 1
workers = {workers}
"""
PASSES = "def test_passes():\n    pass\n"
SEEDED = """
import os

import pytest

def test_skips():
    assert os.environ["NODEWISE_SEED"] == "7"
    pytest.skip("so")
"""
FAILS = "def test_fails():\n    assert False\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the runner, the settings of pytest, and one layer without tests."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests/unit").mkdir(parents=True)
    for name in ("__init__", "hooks", "records"):
        shutil.copy(ROOT / f"tests/{name}.py", tmp_path / "tests")
    (tmp_path / "tests/conftest.py").write_text("from tests.hooks import *\nfrom tests.records import *\n")
    (tmp_path / "tests/layers.toml").write_text(LAYER.format(name="unit", budget=1, workers=1))
    return tmp_path


def run(checkout: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The runner of a checkout, as make calls it."""
    clean = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    command = [sys.executable, "scripts/test.py", *words]
    return subprocess.run(command, cwd=checkout, env={**clean, **env}, capture_output=True, text=True, check=False)


def last(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """How a run ended: its exit code and its last line."""
    return done.returncode, done.stdout.rstrip("\n").rpartition("\n")[2]


def test_passed(checkout: Path) -> None:
    """What is marked alone runs after the others, in one process; what is marked slow can be left out; over budget is a warning."""
    (checkout / "tests/layers.toml").write_text(LAYER.format(name="unit", budget=0.001, workers=2))
    (checkout / "tests/unit/test_some.py").write_text(f"{PASSES}{SEEDED}")
    heavy = f"import pytest\n\npytestmark = pytest.mark.alone\n\n{PASSES}\n@pytest.mark.slow\n{FAILS}"
    (checkout / "tests/unit/test_heavy.py").write_text(heavy)
    done = run(checkout, "--skip-slow", "--seed", "7")
    assert (0, "2 passed, 0 failed, 1 skipped") == last(done)
    assert "over budget: unit took" in done.stdout
    ends = [
        line.strip("= ").rpartition(" in ")[0] for line in done.stdout.splitlines() if line.startswith("=") and " passed" in line
    ]
    assert ["1 passed, 1 skipped", "1 passed, 1 deselected"] == ends


def test_over_budget_fails_in_ci(checkout: Path) -> None:
    """With CI=true the exit code says that a layer took too long, although every test passed."""
    (checkout / "tests/layers.toml").write_text(LAYER.format(name="unit", budget=0.001, workers=1))
    (checkout / "tests/unit/test_some.py").write_text(PASSES)
    assert (1, "1 passed, 0 failed") == last(run(checkout, "--skip-slow", CI="true"))


def test_failed(checkout: Path) -> None:
    """A test that fails, a file that cannot be read, a pytest that ended early and a layer without tests are a failure each.

    How the test is run alone stands at the end, and the seed is kept.
    """
    texts = {
        "unit": PASSES + FAILS,
        "unread": "import no_such_module\n",
        "ended": "import os\n\ndef test_ends():\n    os._exit(0)\n",
        "none": "",
    }
    (checkout / "tests/layers.toml").write_text("".join(LAYER.format(name=name, budget=1, workers=1) for name in texts))
    for name, text in texts.items():
        (checkout / "tests" / name).mkdir(exist_ok=True)
        (checkout / "tests" / name / "test_some.py").write_text(text)
    done = run(checkout, "--seed", "random")
    assert (1, "1 passed, 4 failed") == last(done)
    assert '\nfailed: unit/test_some.py::test_fails\n  alone:  make test-unit ARGS="-k test_fails"\n' in done.stdout
    assert f"seed {(checkout / 'build/seed').read_text()}" in done.stdout


def test_words_that_select_nothing(checkout: Path) -> None:
    """Words that select no test at all are no success."""
    (checkout / "tests/unit/test_some.py").write_text(PASSES)
    assert (1, "0 passed, 0 failed") == last(run(checkout, "--", "-k", "nothing"))


def test_an_unknown_layer(checkout: Path) -> None:
    """A layer that is not there is named beside those that are."""
    assert "no layer sistem; expected some of unit" in run(checkout, "sistem").stderr


def test_a_failed_test_shows_its_record(checkout: Path) -> None:
    """The record that a failed test left is kept, without its backup; how its run ended is told, and older records are not."""
    text = """
import shutil

import pytest

from nodewise.record.run import Run

@pytest.fixture(scope="module")
def old(tmp_path_factory):
    Run.create(folder := tmp_path_factory.mktemp("runs") / "older").note("begun before")
    return folder

def test_makes_it(old):
    pass

@pytest.mark.parametrize("how", ["a or b"])
def test_fails(how, old, tmp_path):
    run = Run.create(tmp_path / "upgrade-1")
    run.conclude("paused", "n2 did not come back")
    (run.folder / "backup").mkdir()
    (run.folder / "backup/n1.db").touch()
    run.folder.with_name("upgrade-1.log").write_text("said")
    assert False
"""
    (checkout / "tests/unit/test_some.py").write_text(text)
    done = run(checkout)
    record = "build/records/unit/test_some.py-test_fails-a-or-b"
    assert (1, "1 passed, 1 failed") == last(done)
    assert f"\n{record}/upgrade-1\npaused: n2 did not come back\nlast in its journal: {{" in done.stdout
    alone = """make test-unit ARGS="-k 'test_fails[a and b]'\""""
    assert done.stdout.endswith(f"  alone:  {alone}\n  record: {record}\n\n1 passed, 1 failed\n")
    assert ["journal.jsonl", "run.json", "upgrade-1.log"] == sorted(
        path.name for path in (checkout / record).rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("words", [("--results", "--skip-slow"), ("--all", "--", "-x")])
def test_results_are_of_whole_layers(checkout: Path, words: tuple[str, ...]) -> None:
    """Where only some tests are asked for, nothing is written into the page of results."""
    assert "is about whole layers" in run(checkout, *words).stderr


def test_what_a_killed_run_left_is_removed(checkout: Path, tmp_path: Path) -> None:
    """The folder of a run that nobody is in any more goes, its testnets with it; that of a run at work stays."""
    (checkout / "tests/unit/test_some.py").write_text(PASSES)
    temporary = tmp_path / "temporary"
    for name in ("nodewise-dead", "nodewise-alive", "nodewise-other"):
        (temporary / name / "home1").mkdir(parents=True)
    (temporary / "nodewise-dead/lock").touch()
    with (temporary / "nodewise-alive/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert (0, "1 passed, 0 failed") == last(run(checkout, TMPDIR=str(temporary)))
    assert ["nodewise-alive", "nodewise-other"] == sorted(path.name for path in temporary.iterdir())
