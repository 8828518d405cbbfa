"""The record of a run: what is kept of the words that began it, and of the backup that it relies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodewise.record.run import Run, masked
from nodewise.record.summary import summarize
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
