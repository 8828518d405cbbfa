"""The record of a run: what is kept of the words that began it, and of the backup that it relies on."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nodewise import files
from nodewise.gates.judgement import Judgement
from nodewise.record import junit
from nodewise.record.run import Run, masked
from nodewise.record.summary import summarize
from nodewise.smoke.finish import summarized
from nodewise.views.summary import ending


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("postgres_password=hunter2", "postgres_password=…"),
        ('{"api_token": "hunter2", "nodewise_to": "3.5.16"}', '{"api_token": "…", "nodewise_to": "3.5.16"}'),
        ("vault_secret: hunter2", "vault_secret: …"),
        ("nodewise_to=3.5.16", "nodewise_to=3.5.16"),
        ("--vault-password-file", "--vault-password-file"),
    ],
)
def test_secrets_are_not_kept(word: str, kept: str) -> None:
    """A value that is given to a name that says secret is left out; everything else stays as it was typed."""
    assert [kept] == masked([word])


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """It takes the place of what is there with the mode that is asked for, and of one that cannot be written nothing is left."""
    file = tmp_path / "x"
    files.write(file, "old")
    files.write(file, b"new", mode=0o600)
    assert ("new", 0o600) == (file.read_text(), file.stat().st_mode & 0o777)
    with pytest.raises(UnicodeEncodeError):
        files.write(file, "\ud800")
    assert ([file], "new") == (list(tmp_path.iterdir()), file.read_text())


def test_a_file_stays_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has the content before the name leads to it, and the folder after."""
    synced: list[bool] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(stat.S_ISDIR(os.fstat(number).st_mode)), fsync(number)))
    files.write(tmp_path / "a", "new")
    assert [False, True] == synced


def test_suites_of_the_junit_file_are_put_by_name(tmp_path: Path) -> None:
    """One that is put again is replaced, those of others stay, also in a file that older versions wrote."""
    (tmp_path / "junit.xml").write_text('<testsuite name="theirs"><testcase name="t"/></testsuite>')
    for says in ("first", "second\x00"):
        junit.put(
            tmp_path, {"ours": [junit.Case("w", "a", "fail", says), junit.Case("w", "b", "skip"), junit.Case("w", "c", "pass")]}
        )
    theirs, ours = ElementTree.parse(tmp_path / "junit.xml").getroot()  # noqa: S314  our own
    assert "theirs" == theirs.get("name")
    assert {"name": "ours", "tests": "3", "failures": "1", "skipped": "1"} == ours.attrib
    assert ["second\ufffd"] == [one.get("message") for one in ours.iter("failure")]


def test_near_misses_are_told(tmp_path: Path) -> None:
    """What passed close to its bound is in summary.json, the closest of each gate and node, and on one of the last lines."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo")
    for measured, ok, node in [(990, True, "n1"), (901, True, "n1"), (899, True, "n2"), (1001, False, "n3"), (950, True, None)]:
        found = Judgement("caught_up", ok, "behind", numbers={"measured": measured, "bound": 1000})
        run.judged([found, Judgement("one_leader", True, "none")], node=node)
    summary = summarize(run)
    assert [("n1", 990), (None, 950)] == [(one["node"], one["measured"]) for one in summary["near_misses"]]
    assert {"gate", "node", "measured", "bound"} == summary["near_misses"][0].keys()
    said = [line for line in ending(summary, run.folder) if line.startswith("near")]
    assert ["near miss caught_up (n1) 990 of 1000; caught_up 950 of 1000"] == said


def test_evidence_of_a_backup_is_in_the_summary(tmp_path: Path) -> None:
    """Which backup of another tool a run relied on is in summary.json and in the last lines; its own in the former alone."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo")
    seen = {"tool": "pgBackRest", "label": "20261125-162729F", "at": "2026-11-25T16:27:37.000Z", "age_s": 5400}
    run.note("copied", backup={"copy": "/n1.tgz", "size": 7})
    run.note("relied on", backup={"evidence": seen})
    found = summarize(run)
    assert [{"copy": "/n1.tgz", "size": 7}, {"evidence": seen}] == found["backups"]
    said = [line for line in ending(found, run.folder) if line.startswith("backup")]
    assert ["backup    that of pgBackRest 20261125-162729F, which ended at 2026-11-25T16:27:37.000Z, 1.5 h before"] == said


REASONS = ["a \x00 b", "a \x1b[31m b", "a \udc80 b", "a \x85 \u2028 b", "a \ufffe b"]


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_of_any_characters_is_kept_and_told(tmp_path: Path, reason: str) -> None:
    """Records are written, read, and written again; the last lines have neither control characters nor halves of characters."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo", command=[reason])
    run.conclude("paused", reason, "step_failed")
    run.note("after it")
    for _ in "twice":
        summary = summarized(run)
    assert [] == summary["unwritten"]
    ElementTree.parse(run.folder / "junit.xml")  # noqa: S314  our own
    assert "paused" == Run(run.folder).read_json("summary.json")["outcome"]
    assert [1, 2] == [one["seq"] for one in Run(run.folder).records()]
    first = ending(summary, run.folder)[0]
    first.encode()
    assert first.startswith("paused: a ")
    assert not set(first) & set("\x00\x1b\x85\ufffe")


@pytest.mark.parametrize("name", ["junit.xml", "summary.json", "smoke/s/plan.json"])
def test_a_record_that_cannot_be_read_keeps_no_end_from_being_told(tmp_path: Path, name: str) -> None:
    """The last lines say how it ended, and which file is not whole, in one line; a junit.xml that was no XML is kept beside."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo")
    run.conclude("paused", "a member is down", "member_lost")
    (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
    (run.folder / name).write_bytes(b"<a>\x1b[31m")
    told = ending(summarized(run), run.folder)
    assert "paused: a member is down" == told[0]
    assert [True] == sorted({name.rpartition("/plan")[0] in line for line in told if line.startswith("record    not whole: ")})
    if name == "junit.xml":
        assert b"<a>\x1b[31m" == (run.folder / "junit.xml.unreadable").read_bytes()
        ElementTree.parse(run.folder / "junit.xml")  # noqa: S314  our own


def test_a_folder_that_takes_nothing_keeps_no_end_from_being_told(tmp_path: Path) -> None:
    """Where nothing can be written the end is told all the same."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo")
    run.conclude("paused", "a member is down", "member_lost")
    for name in ("junit.xml", "summary.json"):
        (run.folder / name).mkdir()
    told = ending(summarized(run), run.folder)
    assert "paused: a member is down" == told[0]
    assert 2 <= sum(line.startswith("record    not whole: ") for line in told)
