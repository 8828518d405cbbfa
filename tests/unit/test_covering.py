"""Coverage: what was not run is listed by file and line, and too little of it is a failure."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import covering

ROOT = Path(__file__).parents[2]
SOURCE = """def known(word):
    if word == "yes":
        return True
    return False
"""


def file(lines: int, missing: list[int]) -> dict[str, Any]:
    """What coverage says of a file."""
    summary = {"num_statements": lines, "covered_lines": lines - len(missing), "num_branches": 4, "covered_branches": 2}
    return {"summary": summary, "missing_lines": missing}


FILES = {
    "src/nodewise/plan.py": file(10, [3, 4, 5, 9]),
    "src/nodewise/roll.py": file(10, []),
    "plugins/modules/lease.py": file(20, [1]),
}


def test_lines_and_branches_of_each_package() -> None:
    """A row a package, and one for all of them."""
    assert [
        ["plugins/modules", "20", "95.0 %", "4", "50.0 %"],
        ["src/nodewise", "20", "80.0 %", "8", "50.0 %"],
        ["all", "40", "87.5 %", "12", "50.0 %"],
    ] == [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in covering.table(FILES)[1:]]


def test_what_was_not_run() -> None:
    """The lines that nothing ran, in short, the file with most of them first."""
    assert ["    4  src/nodewise/plan.py: 3-5, 9", "    1  plugins/modules/lease.py: 1"] == covering.gaps(FILES)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a file of the package and a module, which runs from a zip file as ansible-core sends it."""
    monkeypatch.setattr(covering, "ROOT", tmp_path)
    monkeypatch.setattr(covering, "FOLDER", tmp_path / "build/coverage")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name in ("src/nodewise/one.py", "plugins/module_utils/two.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(SOURCE)
    with zipfile.ZipFile(tmp_path / "payload.zip", "w") as payload:
        for folder in ("", "/nodewise", "/nodewise/cluster", "/nodewise/cluster/plugins", "/nodewise/cluster/plugins/module_utils"):
            payload.writestr(f"ansible_collections{folder}/__init__.py", "")
        payload.writestr("ansible_collections/nodewise/cluster/plugins/module_utils/two.py", SOURCE)
    return tmp_path


@pytest.mark.parametrize(("words", "reached"), [(["yes", "no"], True), (["yes"], False)])
def test_forks_and_modules_are_measured(checkout: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], reached: bool) -> None:
    """What a fork and a module ran counts, as one file each; below the share that is expected the answer is no."""
    env = {**covering.environment("unit"), **covering.for_modules(checkout / "build/coverage/data/unit", "podman")}
    forked = "import os, sys\nsys.path[:0] = ['src/nodewise']\nimport one\nif not os.fork():\n    {}\n    os._exit(0)\nos.wait()\n"
    module = (
        "import sys, json, os\n"
        "from ansible.module_utils._internal._ansiballz._extensions import _coverage\n"
        "_coverage.run(json.loads(os.environ['_ANSIBLE_ANSIBALLZ_COVERAGE_CONFIG']))\n"
        "sys.path[:0] = ['payload.zip']\n"
        "from ansible_collections.nodewise.cluster.plugins.module_utils import two\n{}\n"
    )
    calls = {"one": forked, "two": module}
    for name, program in calls.items():
        text = program.format("; ".join(f"{name}.known({word!r})" for word in words))
        subprocess.run([sys.executable, "-c", text], cwd=checkout, env=env, check=True)
    covering.gather("unit")
    monkeypatch.chdir(checkout)
    lines, enough = covering.report()
    assert reached == enough, lines
    expected = "" if reached else "    1  plugins/module_utils/two.py: 4\n    1  src/nodewise/one.py: 4\n"
    assert expected == (checkout / "build/coverage/gaps.txt").read_text()


def test_nodes_have_what_measures_modules(checkout: Path) -> None:
    """A container that is run has the package and a place for the data; other words for podman stay as they are."""
    (checkout / "data").mkdir(parents=True)
    (checkout / "build/coverage").mkdir(parents=True)
    env = covering.for_modules(checkout / "data", "/bin/echo")
    said = [
        subprocess.run(["podman", *words], env=env, capture_output=True, text=True, check=True).stdout.split()
        for words in (["run", "--detach", "node"], ["ps", "-a"])
    ]
    assert ["run", "--volume", "--volume", "--detach", "node"] == [word for word in said[0] if not word.startswith("/")]
    assert ["ps", "-a"] == said[1]


def test_nothing_was_measured(checkout: Path) -> None:
    """Without data there is no share, and so not enough."""
    assert (["no layer has run with COVERAGE=1 yet"], False) == covering.report()
    assert checkout.exists()
