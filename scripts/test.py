# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs layers of tests one after the other, and reports them against their budgets in tests/layers.toml.

`python scripts/test.py [LAYER ...] [-- words for pytest]`; without a layer those of `make test`. Exit 1 when a test failed, when
nothing ran, and, with CI=true, when a layer took longer than it may.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import covering
import layers
from layers import Layer, Result
from nodewise.bench import sampling

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SEED = "4711"
CALIBRATED = 5.0  # milliseconds of the benchmark's calibration on the machine that budgets are for
SCRATCH = "nodewise-"  # begins the name of a run's folder
MEMORY = Path("/dev/shm")  # noqa: S108  a file system in memory: databases that sync each write need no disk to be tested
ROOM = 4 << 30  # bytes that must be free there
NOTHING = 5  # pytest's exit code when no test was selected
ENDED = (0, 1, NOTHING)  # pytest's exit codes after which its JUnit file tells all


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line; what follows `--` is pytest's."""
    known = layers.load(ROOT)
    parser = argparse.ArgumentParser(description="Runs layers of tests. Words after -- go to pytest.")
    parser.add_argument("layer", nargs="*", metavar="LAYER", help=f"of {', '.join(known)}")
    parser.add_argument("--all", action="store_true", help="every layer, whole, and --results")
    parser.add_argument("--skip-slow", action="store_true", help="without the tests marked slow")
    parser.add_argument("--results", action="store_true", help=f"put the rows of these layers into {layers.RESULTS}")
    parser.add_argument(
        "--coverage", type=int, help="1: see which lines are run, without a budget, as it takes longer; 0: not with --all"
    )
    parser.add_argument("--workers", type=int, help="how many files at once, instead of what tests/layers.toml says")
    parser.add_argument("--seed", default=SEED, help=f"of what is random in tests: a number, or `random` ({SEED})")
    cut = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:cut])
    given.words = list(words[cut + 1 :])
    if unknown := set(given.layer) - set(known):
        parser.error(f"no layer {', '.join(sorted(unknown))}; expected some of {', '.join(known)}")
    given.results = given.results or given.all
    given.coverage = given.all if given.coverage is None else bool(given.coverage)
    if given.results and (given.words or given.skip_slow):
        parser.error(f"{layers.RESULTS} is about whole layers; expected neither --skip-slow nor words for pytest")
    usual = [layer for layer in known.values() if layer.budget or given.all]
    given.layers = [known[name] for name in given.layer] or usual
    return given


def slowness() -> float:
    """How many times as long this machine takes now as the one that budgets are for."""
    return min(sampling.calibration() for _ in range(3)) / CALIBRATED


class Runner:
    """Runs pytest on layers, one after the other."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.seed = str(random.randrange(2**31)) if given.seed == "random" else given.seed
        self.interrupted = False
        self.env = {**os.environ, "NODEWISE_SEED": self.seed}
        self.slowness = slowness()

    def layer(self, layer: Layer) -> Result:
        """Run one layer, its files that may run beside others first."""
        budget = layer.budget if self.given.skip_slow else layer.whole
        seconds = None if self.given.words or self.given.coverage or budget is None else budget * 60
        result = Result(layer.name, seconds)
        shutil.rmtree(BUILD / "records" / layer.name, ignore_errors=True)
        self.env |= covering.environment(layer.name) if self.given.coverage else {}
        started = time.monotonic()
        for part, words in self.parts(layer):
            if not self.interrupted:
                self.pytest(result, part, words)
        result.seconds = time.monotonic() - started
        self.slowness = result.slowness = max(self.slowness, slowness())  # others on the same hardware come and go
        if self.given.coverage:
            covering.gather(layer.name)
        if not (result.cases or result.broken or self.given.words):
            result.broken.append("it has no tests to run")
        return result

    def parts(self, layer: Layer) -> list[tuple[str, list[str]]]:
        """The runs of pytest that a layer takes: name and words of each. A second one is for tests marked alone."""
        usual = max(1, layer.workers // 2) if self.given.coverage else layer.workers  # measured processes take twice the time
        workers, folder = self.given.workers or usual, f"tests/{layer.name}"
        if workers == 1:
            return [("", [folder])]
        spread = [folder, f"--numprocesses={workers}", "--dist=loadfile", "--no-loadscope-reorder"]
        alone = [str(path) for path in sorted((ROOT / folder).rglob("test_*.py")) if "mark.alone" in path.read_text()]
        return [("", [*spread, "--load=shared"]), ("-alone", [*alone, "--load=alone"])] if alone else [("", spread)]

    def pytest(self, result: Result, part: str, words: list[str]) -> None:
        """Run pytest and add to the result what it says of each test."""
        junit = BUILD / "junit" / f"{result.layer}{part}.xml"
        junit.unlink(missing_ok=True)
        slow = ["--skip-slow"] if self.given.skip_slow else []
        seed = ["--hypothesis-profile=default", f"--hypothesis-seed={self.seed}"]  # in CI its own profile would mind no seed
        command = [sys.executable, "-m", "pytest", *words, *slow, f"--junitxml={junit}"]
        with scratch() as (folder, lock):
            env = {**self.env, "TMPDIR": folder}
            words = [*command, *seed, *self.given.words]
            code = subprocess.run(words, cwd=ROOT, env=env, check=False, pass_fds=[lock]).returncode
            remove_testnets(Path(folder))
        if junit.exists():
            result.cases += layers.cases(junit)
        if code not in ENDED:
            result.broken.append(f"pytest did not get to its end (exit code {code}); its last lines are above")

    def run(self) -> list[Result]:
        """Run the layers; an interrupt is left to pytest, which takes its testnets down, and then ends the run."""
        signal.signal(signal.SIGINT, lambda *_: setattr(self, "interrupted", True))
        results = []
        for layer in self.given.layers:
            if (ROOT / "tests" / layer.name).is_dir() and not self.interrupted:
                print(f"--- {layer.name}: {layer.what}", flush=True)
                results.append(self.layer(layer))
        return results


def remove_testnets(folder: Path) -> None:
    """Remove what tests left up: processes of pytest that are interrupted together do not always come to it."""
    for home in folder.glob("home*"):
        command = [str(Path(sys.executable).with_name("testnet")), "down", "--all"]
        # In a process group of its own: a second Ctrl-C is meant for tests, and must not leave testnets behind.
        subprocess.run(command, env={**os.environ, "NODEWISE_HOME": str(home)}, check=False, process_group=0)


@contextmanager
def scratch() -> Iterator[tuple[str, int]]:
    """A folder for all that tests write, in memory where there is room; gone at the end.

    With it comes the lock on it, for pytest to keep: by it a later run sees that nobody works there any more.
    """
    free = shutil.disk_usage(MEMORY).free if MEMORY.is_dir() else 0
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=MEMORY if free > ROOM else None) as folder:
        Path(folder).chmod(0o755)  # servers that run as users of their own have theirs in it
        with (Path(folder) / "lock.new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            Path(lock.name).rename(Path(folder) / "lock")
            yield folder, lock.fileno()


def sweep() -> None:
    """Remove what runs that were killed left, testnets above all: a machine takes about 21 nodes."""
    for lock in (path for parent in {MEMORY, Path(tempfile.gettempdir())} for path in parent.glob(f"{SCRATCH}*/lock")):
        with suppress(BlockingIOError, PermissionError, FileNotFoundError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_testnets(lock.parent)
            shutil.rmtree(lock.parent, ignore_errors=True)


def git(*words: str) -> str:
    """What git prints; nothing where this is no repository."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def write_results(results: Sequence[Result]) -> None:
    """Put the layers that ran into the page of results."""
    path = ROOT / layers.RESULTS
    page = path.read_text() if path.exists() else ""
    changed = git("status", "--porcelain", "--", ".", f":!{layers.RESULTS}")
    commit = (git("rev-parse", "--short=10", "HEAD") or "unknown") + ("+" if changed else "")
    path.write_text(layers.results_page(page, results, commit, time.strftime("%Y-%m-%d", time.gmtime()), list(layers.load(ROOT))))


def main(words: Sequence[str]) -> int:
    """Run what was asked for and print the report."""
    runner = Runner(arguments(words))
    sweep()
    print(f"seed {runner.seed}", flush=True)
    results = runner.run()
    covered, enough = (
        covering.report() if runner.given.coverage and len(runner.given.layers) > 1 and not runner.given.words else ([], True)
    )
    passed = enough and layers.good(results, strict=os.environ.get("CI", "") not in ("", "0", "false"))
    if not passed:
        BUILD.mkdir(exist_ok=True)
        (BUILD / "seed").write_text(f"{runner.seed}\n")
    if runner.given.results:
        write_results(results)
    print("", *covered, "", *layers.report(results, ROOT), "", layers.last_line(results), sep="\n", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
