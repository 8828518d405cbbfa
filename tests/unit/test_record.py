"""The record of a run: what is kept of the words that began it, and of the backup that it relies on."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from nodewise import files
from nodewise.gates.judgement import Judgement
from nodewise.model import Batch
from nodewise.record import junit, took
from nodewise.record.run import Run, masked, runs
from nodewise.record.summary import summarize
from nodewise.smoke.finish import summarized
from nodewise.views.plan import describe
from nodewise.views.summary import ending

from .test_plan import made


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("postgres_password=hunter2", "postgres_password=…"),
        ('{"api_token": "hunter2", "nodewise_to": "3.5.16"}', '{"api_token": "…", "nodewise_to": "3.5.16"}'),
        ("vault_secret: hunter2", "vault_secret: …"),
        ("db_password='correct horse' nodewise_to=3.5.16", "db_password='…' nodewise_to=3.5.16"),
        (r'{"password": "correct \" horse"}', '{"password": "…"}'),
        ('{"password": "{{ vault_orders }}"}', '{"password": "{{ vault_orders }}"}'),
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


def rolled(folder: Path, batches: list[float], cluster: str = "demo", outcome: str = "upgraded", **more: object) -> None:
    """The record of a run: a backup of 7 s, and a hop with these batches; one of them with a soak of 100 s."""
    Run.create(folder, kind="upgrade", cluster=cluster)
    now = [0.0]

    def write(seconds: float, **fields: object) -> dict[str, object]:
        now[0] += seconds
        return {
            "t": int((1000 + now[0]) * 1e9),
            "seq": int(now[0] * 1000) + 1,
            "kind": "step",
            "phase": "end",
            "ok": True,
            **fields,
        }

    records = [write(7, step="secure", duration_s=7.0), write(2, step="stage", duration_s=2.0)]
    records.append(write(0, step="stage", duration_s=2.0, node="n1"))
    for number, seconds in enumerate(batches):
        records.append(write(0, kind="note", text="batch", batch=number + 1))
        if number == 0:
            records.append(write(100, step="soak", duration_s=100.0, node="n1"))
        now[0] += seconds
    records += [write(0, step="roll", duration_s=0.0), write(3, step="finalize", duration_s=3.0)]
    records.append(write(0, kind="note", text="ended", outcome=outcome, **more))
    (folder / "journal.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))


def test_what_earlier_runs_took(tmp_path: Path) -> None:
    """The last three of this cluster that ended well: each batch without its soak, the backup once, the rest for each hop."""
    assert took.earlier(tmp_path / "now", "demo") is None
    for name, batches in (("1", [900.0]), ("2", [10.0, 20.0]), ("3", [30.0]), ("4", [40.0])):
        rolled(tmp_path / name, batches)
    rolled(tmp_path / "5", [1.0], cluster="other")
    rolled(tmp_path / "6", [1.0], outcome="rolled_back")
    rolled(tmp_path / "7", [1.0], asks=True)
    (tmp_path / "8").mkdir()
    (tmp_path / "8/run.json").write_text("{")
    found = took.earlier(tmp_path / "now", "demo")
    assert found
    batches = [Batch(["n1"], "its turn", to) for to in ("3.5.16", "3.5.30") for _each in range(3)]
    plan = msgspec.structs.replace(made(soak=60.0), batches=batches)
    assert (3, [40.0, 30.0, 10.0, 20.0], 7.0, 5.0) == (found.runs, found.batches, found.once, found.hop)
    assert 7.0 + 2 * (5.0 + 60.0) + 6 * 25.0 == found.of(plan)
    assert took.earlier(tmp_path / "4", "demo") != found
    assert took.earlier(tmp_path / "now", "demo", "patroni") is None


def test_the_estimate_is_from_earlier_runs(tmp_path: Path) -> None:
    """Without one it is unknown, and said to be."""
    plan = made()
    unknown = " ".join(" ".join(describe(plan)).split())
    assert "time unknown, as no earlier run of c beside this one says what a batch takes; no node is waited for longer" in unknown
    rolled(tmp_path / "1", [30.0, 31.2, 33.0], cluster="c")
    told = " ".join(" ".join(describe(plan, took.earlier(tmp_path / "now", "c"))).split())
    assert "time about 106 s: 3 batches; in the last run a batch took 30 to 33 s; no node" in told
    assert describe(plan, idle=True)[2:] == ["  time       nothing to do"]
    soaked = " ".join(" ".join(describe(made(soak=60.0), took.earlier(tmp_path / "now", "c"))).split())
    assert "time about 166 s: 3 batches and the soak; in" in soaked


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ("srv/payments", "srv/payments/runs"),  # a project
        ("srv/payments/docs", "srv/payments/runs"),
        ("srv/orders", "srv/orders/runs"),
        ("home/me/elsewhere", "home/me/elsewhere/runs"),
        ("srv", "home/me/.local/state/nodewise/runs"),
        ("", "home/me/.local/state/nodewise/runs"),
    ],
)
def test_where_records_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, expected: str) -> None:
    """In a project and in the user's own folders beside what is worked on; elsewhere, as in /, with the user."""
    for folder in ("srv/payments/docs", "srv/orders/inventory", "home/me/elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "srv/payments/ansible.cfg").touch()
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home/me"))
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    monkeypatch.chdir(tmp_path / here)
    assert tmp_path / expected == runs()


def test_no_record_in_the_root_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever works from / has no project there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir("/")
    assert tmp_path / "nodewise/runs" == runs()
