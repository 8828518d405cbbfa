"""A test that failed shows the records of the runs that it made, which are kept, and how it is run alone."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import layers
from nodewise.record.run import Run

ROOT = Path(__file__).resolve().parents[1]
BEGAN = pytest.StashKey[float]()
NO_RECORDS = {".git", ".venv", ".cache", "backup", "files"}  # folders that hold many files, and no run
HEAVY = shutil.ignore_patterns("backup")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember when a test began, as what is older than that is another's."""
    item.stash[BEGAN] = time.time()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a test that failed what it left behind, and the command that runs it alone."""
    report = yield
    if report.failed:
        layer, name = item.path.relative_to(ROOT / "tests").parts[0], f"{item.path.name}::{item.name}"
        scratch = item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # that of this process, with all that it made
        kept = keep(made_since(scratch, item.stash[BEGAN]), ROOT / layers.record(layer, name))
        report.sections += [("record", line) for line in map(describe, kept)]
        report.sections.append(("alone", layers.alone(layer, name)))
    return report


def made_since(base: Path, began: float) -> list[Path]:
    """The folders of runs below `base` that were written to since then, the oldest first."""
    found = sorted((path.stat().st_mtime, path.parent) for path in _journals(base))
    return [folder for changed, folder in found if changed >= began]


def _journals(base: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(base):
        inner[:] = [name for name in inner if name not in NO_RECORDS]
        if "journal.jsonl" in files:
            yield Path(folder) / "journal.jsonl"


def keep(folders: list[Path], target: Path) -> list[Path]:
    """Copy folders of runs, each with the log beside it, but without backups; returns the copies."""
    copies = [target / folder.name for folder in folders]
    for folder, copy in zip(folders, copies, strict=True):
        with suppress(OSError):  # a run may still be at work; all else is copied
            shutil.copytree(folder, copy, ignore=HEAVY, dirs_exist_ok=True)
        if (log := folder.with_name(f"{folder.name}.log")).exists():
            shutil.copy(log, copy)
    return copies


def describe(folder: Path) -> str:
    """Where a record is, how its run ended, and the last thing that its journal says."""
    run = Run(folder)
    outcome, reason = run.outcome() or ("no outcome", "its journal does not say how it ended")
    return f"{folder.relative_to(ROOT)}\n{outcome}: {reason}\nlast in its journal: {(run.records() or ['nothing'])[-1]}"
