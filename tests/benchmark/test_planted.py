"""A regression of 25 % that is planted is found, as a night would find it, and nothing else is called worse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import collection
from nodewise.testnet.state import checkout

PLANTED = {
    "judge": ("judging.py", "judge_step"),
    "checker-durable": ("checkers/durable.py", "durable"),
}
UNTOUCHED = "parser-tap"
SLOWER = """

import time as _time

_real = {name}


def {name}(*args, **more):
    began = _time.process_time()
    found = _real(*args, **more)
    until = _time.process_time() + 0.25 * (_time.process_time() - began)
    while _time.process_time() < until:
        pass
    return found
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository whose only commit is this checkout as it stands."""
    root = tmp_path / "clone"
    for name in collection.kept_files():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout() / name, root / name)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=before"]):
        subprocess.run(["git", *who, *words], cwd=root, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}, check=True)
    return root


def bench(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`testnet bench` by the code of a clone, of these rows alone."""
    env = {**os.environ, "PYTHONPATH": str(root / "src"), "NODEWISE_HOME": str(root / ".cache")}
    rows = [f"--row={name}" for name in [*PLANTED, UNTOUCHED]]
    command = [sys.executable, "-m", "nodewise.cli.main", "bench", *rows, *words]
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False, timeout=1800)


@pytest.mark.slow
def test_a_regression_of_25_percent_is_found(clone: Path) -> None:
    """One night's figures, then slower code: the next night exits with 1, names what became slower, and nothing else."""
    first = bench(clone, "--rounds", "6")
    assert 0 == first.returncode, first.stderr
    file = next(clone.glob("runs/*/bench.json"))
    for module, name in PLANTED.values():
        with (clone / "src/nodewise" / module).open("a") as code:
            code.write(SLOWER.format(name=name))
    second = bench(clone, "--against", str(file), "--threshold", "20%", "--summary", "summary.md")
    summary = (clone / "summary.md").read_text()
    print(summary)  # noqa: T201  (the figures, for pytest -rP)
    cells = [[cell.strip() for cell in line.split("|")] for line in summary.splitlines() if line.startswith("| ")][1:]
    expected = {**dict.fromkeys(PLANTED, "worse (confirmed)"), UNTOUCHED: "same"}
    assert [expected, 1] == [{line[1]: line[-2] for line in cells}, second.returncode], second.stderr
