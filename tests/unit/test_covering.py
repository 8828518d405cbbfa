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
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/covering.py").write_text((ROOT / "scripts/covering.py").read_text())
    for name in ("src/nodewise/one.py", "plugins/module_utils/two.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(SOURCE)
    with zipfile.ZipFile(tmp_path / "payload.zip", "w") as payload:
        for folder in ("", "/nodewise", "/nodewise/cluster", "/nodewise/cluster/plugins", "/nodewise/cluster/plugins/module_utils"):
            payload.writestr(f"ansible_collections{folder}/__init__.py", "")
        payload.writestr("ansible_collections/nodewise/cluster/plugins/module_utils/two.py", SOURCE)
    return tmp_path


def report(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Gather and report in a process of its own: this one may be measured itself."""
    program = "import covering, sys\nif covering.FOLDER.exists():\n    covering.gather('unit')\nsys.exit(covering.main())"
    env = {"PYTHONPATH": "scripts"}
    return subprocess.run([sys.executable, "-c", program], cwd=checkout, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("words", "reached"), [(["yes", "no"], True), (["yes"], False)])
def test_forks_and_modules_are_measured(checkout: Path, words: list[str], reached: bool) -> None:
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
    done = report(checkout)
    assert reached == (done.returncode == 0), done.stdout
    expected = "" if reached else "    1  plugins/module_utils/two.py: 4\n    1  src/nodewise/one.py: 4\n"
    assert expected == (checkout / "build/coverage/gaps.txt").read_text()


def test_a_file_that_nothing_runs(checkout: Path) -> None:
    """A module that no test imports counts with all its lines, though plugins/ has no packages by which it would be found."""
    (checkout / "plugins/modules").mkdir()
    (checkout / "plugins/modules/three.py").write_text(SOURCE)
    program = "import sys\nsys.path[:0] = ['src/nodewise']\nimport one\none.known('yes'), one.known('no')"
    subprocess.run([sys.executable, "-c", program], cwd=checkout, env=covering.environment("unit"), check=True)
    assert 1 == report(checkout).returncode
    assert (
        "    4  plugins/module_utils/two.py: 1-4\n    4  plugins/modules/three.py: 1-4\n"
        == (checkout / "build/coverage/gaps.txt").read_text()
    )


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


@pytest.mark.parametrize(("word", "code"), [("no", 0), ("yes", 1)])
def test_a_run_of_tests_that_pass_fails_for_its_coverage(checkout: Path, word: str, code: int) -> None:
    """Layers that are run together say what they covered; below the limit the run is red, whatever its tests say."""
    for name in ("test.py", "layers.py"):
        (checkout / "scripts" / name).write_text((ROOT / "scripts" / name).read_text())
    called = "import sys\nsys.path[:0] = ['src/nodewise', 'plugins/module_utils']\nimport one, two\n\n\ndef test_known():\n"
    layers = {"unit": "yes", "integration": word}
    for layer, said in layers.items():
        (checkout / "tests" / layer).mkdir(parents=True)
        (checkout / "tests" / layer / "test_known.py").write_text(f"{called}    one.known({said!r}), two.known({said!r})\n")
    rows = [f"[{layer}]\nwhat = 'a layer'\nbudget = 1\nwhole = 1\nworkers = 1\n" for layer in layers]
    (checkout / "tests/layers.toml").write_text("".join(rows))
    command = [sys.executable, "scripts/test.py", "--coverage", "1"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    share = 100 if word == "no" else 75
    assert f"coverage of integration, unit: {share}.0 % of lines, expected at least 90 %\n" in done.stdout, done.stderr
    assert "2 passed, 0 failed" == done.stdout.splitlines()[-1]
    assert code == done.returncode


def test_nothing_was_measured(checkout: Path) -> None:
    """Without data there is no share, and so not enough."""
    done = report(checkout)
    assert (1, "no layer has run with COVERAGE=1 yet\n") == (done.returncode, done.stdout)
