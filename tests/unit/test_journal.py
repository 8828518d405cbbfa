"""The journal: many records in one write, each line read once, and what a crash may leave of it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nodewise.record import journal
from nodewise.record.run import Run
from nodewise.upgrade.judging import judge_step

from .observed import observation
from .test_plan import made

GATES = ["members_expected", "members_serving", "one_leader", "fingerprints_equal", "no_errors"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose batch was resolved, and whose node was changed and observed."""
    run = Run.create(tmp_path / "run", kind="upgrade")
    run.write_plan(made())
    run.observed(observation(), [], group="c")
    run.note("batch 1", batch=1, nodes=["n1"])
    run.observed(observation(n1={"version": "3.5.16", "started_at": "later"}), [], group="c")
    return run


def test_a_verdict_is_one_read_and_one_write(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many gates a step has, the disk is waited for once, and each line of the journal is read once."""
    done: Counter[str] = Counter()
    real: dict[str, Any] = {"fsync": os.fsync, "parse": journal.parse}

    def counted(name: str, *args: Any) -> Any:
        done[name] += 1
        return real[name](*args)

    def parsed(lines: Any) -> Any:
        told = list(lines)
        done["lines"] += len(told)
        return real["parse"](told)

    before = len(journal.read(run.journal))
    monkeypatch.setattr(os, "fsync", lambda *args: counted("fsync", *args))
    monkeypatch.setattr(journal, "_last", lambda _file: (False, before))  # the writer's look at the end is no reading
    monkeypatch.setattr(journal, "parse", parsed)
    assert "" == judge_step(Run(run.folder), GATES, "n1", "3.5.16")
    assert {"fsync": 1, "lines": before} == done
    assert [("settled", 4), *((name, seq) for seq, name in enumerate(GATES, 5))] == [
        (r["gate"], r["seq"]) for r in run.records("gate")
    ]


def test_what_others_append_is_seen(run: Run) -> None:
    """A run that has read its journal reads on, past a line that a crash tore and that is whole or passed over later."""
    assert 3 == len(run.records())
    with run.journal.open("a") as file:
        file.write('{"t": 1, "seq": 9, "ki')
    assert 3 == len(run.records())
    Run(run.folder).note("after the crash")
    assert "after the crash" == run.records()[-1]["text"]
    assert run.records() == journal.read(run.journal)


def test_records_of_one_write_are_numbered(run: Run) -> None:
    """They are whole lines with numbers of their own, also behind a torn one."""
    with run.journal.open("a") as file:
        file.write('{"t"')
    written = journal.extend(run.journal, [{"kind": "note", "phase": "end", "text": text} for text in ("a", "b")])
    assert [4, 5] == [r["seq"] for r in written]
    assert written == journal.read(run.journal)[-2:]
