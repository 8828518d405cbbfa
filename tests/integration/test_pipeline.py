"""The jobs of the pipeline, performed: their steps in order on this machine, and set-up in a bare Debian 12."""

from __future__ import annotations

import importlib.metadata
import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.workflows import PREPARATION, ROOT, Job, Step, jobs

from nodewise.testnet import image, tools
from nodewise.testnet.podman import CONF

QUICK = {  # ARGS that make a target short, for pytest also by reading few files; whole scenarios of molecule are the system layer's
    "lint": "zizmor",
    "test-unit": "-k test_one_version '--ignore-glob=*/test_[!h]*'",
    "test-integration": "-k test_machine_without_apt '--ignore-glob=*/test_[!d]*'",
    "test-system": "-k test_without_a_testnet_the_inventory '--ignore-glob=*/test_[!t]*'",
    "test-molecule": "--help",
}
WITH_NODES = {
    "test": "-k test_one_version '--ignore-glob=*/test_[!h]*'",  # no nodes, but each layer's pytest
    "test-simulation": "-k test_words_that_are_refused",
    "test-e2e": "-k test_a_target_that_there_is_not",
    "test-benchmark": "-k test_nodes_are_measured",
    "bench": "--only nodes --rounds 1",
}
SCRATCH = ("build/mypy/", "build/sanity/")  # what linters work on: nothing that somebody would look at
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def performed() -> list[object]:
    """Each job once for all pairs, as a machine has one pair. The first job of a target is quick, unless it needs nodes."""
    seen: dict[tuple[str, ...], object] = {}
    for job in jobs():
        what = (job.target, job.args, job.env["SEED"], job.env["SKIP_SLOW"])
        slow = job.target in WITH_NODES or job.target in [target for target, *_ in seen]
        marks = [pytest.mark.slow] if slow else []
        seen.setdefault(what, pytest.param(job, id=job.name, marks=marks))
    return list(seen.values())


def line(job: Job, step: Step, **more: str) -> str:
    """A step as a line of shell: what it runs, in its environment and the job's, with `more` on top."""
    env = {**job.env, **step.env, **more}
    return " ".join(["env", *(shlex.quote(f"{name}={value}") for name, value in env.items()), "sh", "-ec", shlex.quote(step.run)])


def overlaid(lines: list[str], folder: Path) -> str:
    """What lines of shell print in this checkout as it stands, without records; all must end well.

    What they write goes to an overlay in memory, so that nothing of it stays, and the run that this test is in is not disturbed.
    """
    over = folder / "over"
    over.mkdir()
    mounts = [
        f"mount -t tmpfs tmpfs {over} && mkdir {over}/upper {over}/work",
        f"mount -t overlay overlay -o lowerdir={ROOT},upperdir={over}/upper,workdir={over}/work {ROOT}",
        # Hidden, not removed: below an overlay nothing may change, and processes that are measured write into build/ all the time.
        f"cd {ROOT} && mkdir -p build runs && mount -t tmpfs tmpfs build && mount -t tmpfs tmpfs runs",
    ]
    env = {**{key: os.environ[key] for key in ("PATH", "HOME")}, "CI": "true", "GITHUB_STEP_SUMMARY": f"{folder}/summary.md"}
    command = tools.as_root(["unshare", "--mount", "bash", "-ec", "\n".join([*mounts, *lines])], env)
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def perform(job: Job, words: str, folder: Path) -> list[str]:
    """Perform a job, its target with these words more: the files that it left in build/ and runs/."""
    core = ".".join(importlib.metadata.version("ansible-core").split(".")[:2])
    ours = {"CORE": core, "PYTHON": sys.executable, "WORKERS": "1"}  # more of them have nothing to do
    steps = [step for step in job.steps if step.run not in ("", PREPARATION)]
    lines = [line(job, step, **ours, ARGS=f"{step.env['ARGS']} {words}".strip()) for step in steps]
    overlaid([*lines, f"find build runs -type f >{folder}/files"], folder)
    return (folder / "files").read_text().split()


@pytest.mark.parametrize(("target", "words"), {**QUICK, **WITH_NODES}.items())
def test_a_short_target_has_a_test_to_run(target: str, words: str) -> None:
    """The words for pytest name a test of its layer, lest a job that nobody performs by day has nothing to run by night."""
    for name in re.findall(r"-k (\w+)", words):
        folder = ROOT / "tests" / (target.removeprefix("test-") if target != "test" else "unit")
        assert any(f"def {name}" in path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))


@pytest.mark.parametrize("job", performed())
def test_a_job_on_this_machine(job: Job, tmp_path: Path) -> None:
    """Its steps that need no network end well, in order, and what they leave lies where the job uploads it from, or keeps it."""
    left = perform(job, {**QUICK, **WITH_NODES}[job.target], tmp_path)
    kept = [path for step in job.steps for path in str(step.given.get("path", "")).split()]
    strays = [file for file in left if not file.startswith(SCRATCH) and not any(f"{file}/".startswith(path) for path in kept)]
    assert [] == strays
    layer = job.target.removeprefix("test-")
    if (ROOT / "tests" / layer).exists():
        assert f"build/junit/{layer}.xml" in left
    if job.target == "bench":
        assert "build/bench.json" in left
        assert (tmp_path / "summary.md").read_text()


@pytest.mark.slow
def test_the_node_image_is_kept(tmp_path: Path) -> None:
    """Set-up puts the node image where CI keeps it, and takes it from there on the next machine."""
    again = "rm -f .cache/stamp-image && NODE_IMAGE=.cache/kept.tar make setup && cat .cache/setup.log"
    first, second = overlaid([again, "echo --- next", again], tmp_path).split("--- next")
    assert "Loaded image" not in first
    assert f"Loaded image: {image.tag()}" in second


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[str]:
    """The image of a Debian 12 with nothing but apt, from this machine's mirror."""
    tag, tar = f"localhost/nodewise-bare:{secrets.token_hex(4)}", tmp_path / "bare.tar"
    words = ["mmdebstrap", "--quiet", "--variant=minbase", *image._apt_settings(), image.SUITE, str(tar), *image._sources()]
    tools.run(tools.as_root(words), timeout=600)
    podman("import", "--quiet", str(tar), tag)
    yield tag
    podman("rmi", "--force", tag)


def podman(*words: str) -> str:
    """What podman printed."""
    command = tools.as_root(["podman", *words], {"CONTAINERS_CONF": str(CONF)})
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def pip_of_this_machine(folder: Path) -> list[str]:
    """Options for a container that give its pip the index and the certificates of this machine."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    settings = dict(re.findall(r"^(?:global|:env:)\.(index-url|trusted-host|proxy)='(.*)'$", said, re.MULTILINE))
    trust = {"cert": "/authorities.crt"} if AUTHORITIES.exists() else {}
    (folder / "pip.conf").write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in (settings | trust).items())]))
    mounts = {folder / "pip.conf": "/etc/pip.conf", **({AUTHORITIES: trust["cert"]} if trust else {})}
    return [f"--volume={here}:{there}:ro" for here, there in mounts.items()]


@pytest.mark.slow
def test_set_up_in_a_bare_debian(debian: str, tmp_path: Path) -> None:
    """A Debian 12 with nothing in it gets all that a job needs from its steps: the unit tests of what is committed pass."""
    (job,) = (job for job in jobs() if job.name == "pull-request-test-unit-2.19-python3.11")
    checkout = Step(run="git clone --quiet /checkout.bundle .")
    bundle = tmp_path / "checkout.bundle"
    subprocess.run(["git", "bundle", "create", "--quiet", bundle, "HEAD"], cwd=ROOT, check=True)
    steps = [checkout if step.uses.startswith("actions/checkout@") else step for step in job.steps]
    script = "\n".join(line(job, step) for step in steps if step.run)
    where = ["--rm", "--network=host", "--workdir=/srv", f"--volume={bundle}:/checkout.bundle:ro", *pip_of_this_machine(tmp_path)]
    said = podman("run", *where, debian, "sh", "-ec", script)
    assert re.search(r"\b\d{4} passed", said)
    assert " failed" not in said.replace(" 0 failed", "")
