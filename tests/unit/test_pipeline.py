"""The pipeline, at GitHub and as the example for GitLab: make targets that there are, every layer, every role, the valid pairs."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import lint
from tests.workflows import FOLDER, GITLAB, PREPARATION, ROOT, jobs, matrix, read

CALL = re.compile(r'make "?[\w$-]+"?( ARGS="[^"]*")?')
OLDEST = {"2.19": 11, "2.20": 12, "2.21": 12}  # requires-python of ansible-core's releases, as the minor of Python 3
PAIRS = sorted((core, f"3.{minor}") for core, oldest in OLDEST.items() for minor in (11, 12, 13) if minor >= oldest)
TIERS = {"pull-request": ["core"], "merge": ["core", "basic"], "nightly": ["whole"]}
MAKE = {key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key not in ("ARGS", "CORE", "PYTHON")}


def gitlab() -> dict[str, dict[str, Any]]:
    """The jobs of the example for GitLab, with what is common to all of them as `default`."""
    loaded = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    return {name: job for name, job in loaded.items() if "script" in job or name == "default"}


def gitlab_targets(tier: str) -> set[str]:
    """The targets that a tier of the example for GitLab makes."""
    made = set()
    for job in gitlab().values():
        if tier in re.findall(r"\.(\w+)", str(job.get("extends"))):
            for cell in matrix(job.get("parallel", {}).get("matrix", [{}])[0]):
                made.add(re.sub(r"\$(\w+)", lambda name, cell=cell: cell[name[1]], job["script"].split()[1].strip('"')))
    return made


def targets() -> list[str]:
    """Every target that a job makes."""
    return sorted({job.target for job in jobs()} | set().union(*(gitlab_targets(tier) for tier in ("core", "basic", "whole"))))


def lines() -> list[str]:
    """What all jobs run, at GitHub and at GitLab, but for what make itself needs."""
    steps = [step for path in FOLDER.glob("*.yml") for job in read(path)["jobs"].values() for step in job.get("steps", [])]
    scripts = [job["script"] for name, job in gitlab().items() if name != "default"]
    return [line for line in [step["run"] for step in steps if "run" in step] + scripts if line != PREPARATION]


@pytest.mark.parametrize("line", lines())
def test_a_line_is_one_call_of_make(line: str) -> None:
    """A job calls one target of the Makefile and nothing else, so that anybody can do the same at home."""
    assert CALL.fullmatch(line)


@pytest.mark.parametrize(
    "line", ["pytest", "make lint && pytest", "make lint; true", "make -k lint", "make lint\npytest", "make lint | tee log"]
)
def test_another_line_is_found(line: str) -> None:
    """The rule above can fail."""
    assert CALL.fullmatch(line) is None


def test_what_make_needs_is_said_once_each() -> None:
    """GitHub's jobs and GitLab's install the same packages."""
    assert [PREPARATION] == gitlab()["default"]["before_script"]
    assert {PREPARATION} == {job.steps[0].run for job in jobs()}


@pytest.mark.parametrize("target", targets())
def test_a_target_is_in_the_makefile(target: str) -> None:
    """Make knows what to do for each target of a job."""
    assert 0 == make("-n", target).returncode


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Make in the checkout, with nothing from a make that this test may run under."""
    return subprocess.run(["make", *words], cwd=ROOT, env=MAKE, capture_output=True, text=True, check=False)


def test_a_target_that_there_is_not() -> None:
    """The rule above can fail: make refuses it."""
    assert "No rule to make target" in make("-n", "test-nothing").stderr


@pytest.mark.parametrize("workflow", ["nightly", "manual"])
def test_every_layer_is_run(workflow: str) -> None:
    """Each folder of tests is run whole every night, and may be run by hand."""
    layers = {f"test-{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}
    assert set() == layers - {job.target for job in jobs() if job.workflow == workflow and not job.env["SKIP_SLOW"]}


def test_every_role_is_run() -> None:
    """Each role has a job of its own when something is merged, and all of them have one at night."""
    roles = sorted(path.name for path in (ROOT / "roles").iterdir())
    assert [f"-s {role}" for role in roles] == [job.args for job in jobs() if job.target == "test-molecule" and job.args]
    assert roles == gitlab()["molecule"]["parallel"]["matrix"][0]["ROLE"]


def test_coverage_is_measured_every_night() -> None:
    """All of `make test` says then which lines it ran; what is red is shown by test_covering.py."""
    assert [("nightly", "test")] == [(job.workflow, job.target) for job in jobs() if job.env["COVERAGE"]]
    measured = {name: job for name, job in gitlab().items() if "COVERAGE" in job.get("variables", {})}
    assert {"coverage": (".whole", "1", "make test")} == {
        name: (job["extends"], job["variables"]["COVERAGE"], job["script"]) for name, job in measured.items()
    }
    assert "--coverage 1" in make("-n", "test", "COVERAGE=1").stdout


@pytest.mark.parametrize(
    ("workflow", "target"), [("pull-request", "test-unit"), ("pull-request", "test-integration"), ("nightly", "test-e2e")]
)
def test_the_pairs(workflow: str, target: str) -> None:
    """Exactly the valid pairs of ansible-core and Python are tested, each in a Debian 12 with that Python."""
    found = [job for job in jobs() if (job.workflow, job.target) == (workflow, target)]
    assert PAIRS == sorted(job.pair for job in found)
    assert {("3.11", "debian"), ("3.12", "python:3.12-slim"), ("3.13", "python:3.13-slim")} == {
        (job.pair[1], re.split("[:-]bookworm", job.image)[0]) for job in found
    }


def test_the_pairs_at_gitlab() -> None:
    """They are the same there."""
    cells = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))[".pairs"]["parallel"]["matrix"]
    listed = [{name: said if isinstance(said, list) else [said] for name, said in cell.items()} for cell in cells]
    assert PAIRS == sorted((one["CORE"], one["VERSION"]) for cell in listed for one in matrix(cell))


def test_the_installed_ansible_core_says_so_too() -> None:
    """What is said here of the minor that is installed is what its package says of itself."""
    minor = ".".join(importlib.metadata.version("ansible-core").split(".")[:2])
    assert f">=3.{OLDEST[minor]}" == importlib.metadata.metadata("ansible-core")["Requires-Python"]


@pytest.mark.parametrize(
    ("core", "expected"),
    [
        *(
            (core, f"expected 3.{oldest} or newer for ansible-core {core}: make PYTHON=/path/to/one")
            for core, oldest in OLDEST.items()
        ),
        ("2.22", "no minor of ansible-core that Nodewise runs on; expected 2.19, 2.20 or 2.21"),
    ],
)
def test_a_pair_that_is_not_valid_is_refused(core: str, expected: str, tmp_path: Path) -> None:
    """Set-up says in one line what the minor of ansible-core needs, and makes nothing."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    asked = {**MAKE, "CORE": core, "PYTHON": "python3.0"}
    done = subprocess.run([tmp_path / "scripts/setup", "dev"], env=asked, capture_output=True, text=True, check=False)
    assert [1, 1] == [done.returncode, len(done.stderr.splitlines())]
    assert expected in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("workflow", TIERS)
def test_gitlab_does_the_same(workflow: str) -> None:
    """The example for GitLab makes the same targets in each tier."""
    there = set().union(*(gitlab_targets(tier) for tier in TIERS[workflow]))
    assert {job.target for job in jobs() if job.workflow == workflow} == there


def test_gitlab_offers_the_same_by_hand() -> None:
    """Whoever starts a pipeline there chooses among the same layers."""
    offered = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))["variables"]["LAYER"]["options"]
    assert {job.target for job in jobs() if job.workflow == "manual"} == {f"test-{layer}" for layer in offered}


@pytest.mark.parametrize(
    ("linter", "file", "good", "bad"),
    [
        ("check-jsonschema", ".github/workflows/merge.yml", "strategy:", "strategie:"),
        ("check-jsonschema", ".github/dependabot.yml", "schedule:", "schedules:"),
        ("check-jsonschema", "docs/ci/gitlab-ci.yml", "expose_as:", "exposed_as:"),
        ("zizmor", ".github/workflows/_make.yml", "checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "checkout@v7"),
        ("zizmor", ".github/workflows/_make.yml", 'make "$TARGET"', "make ${{ inputs.target }}"),
        ("zizmor", ".github/workflows/nightly.yml", "contents: read", "contents: write"),
        ("zizmor", ".github/workflows/merge.yml", "permissions: {}", "permissions: write-all"),
    ],
)
def test_linters_find_a_fault(linter: str, file: str, good: str, bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key, an action that is not pinned, an input in a command, too many permissions: each turns its linter red."""
    for name in (".github", "docs/ci"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert good in text
    (tmp_path / file).write_text(text.replace(good, bad), encoding="utf-8")
    result = lint.run(linter, lint.LINTERS[linter])
    assert not result.ok
    assert Path(file).name in result.output
