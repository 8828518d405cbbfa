"""Decision records have one form, and each of them is in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/adr"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
PARTS = ["## Context", "## Decision", "## Consequences"]


def headings(path: Path) -> list[str]:
    """The headings of a page, as they stand."""
    return [line for line in path.read_text().splitlines() if line.startswith("#")]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_its_headings_in_order(path: Path) -> None:
    """A title with the file's number, then context, decision and consequences."""
    title, *parts = headings(path)
    assert [PARTS, f"# {path.name[:4]}: "] == [parts, title[:8]]


def test_the_index_has_every_record() -> None:
    """Number, file and title of each record, in order."""
    rows = re.findall(r"^\| \[(\d+)\]\((.+?)\) \| (.+?) \| .+ \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert [(path.name[:4], path.name, headings(path)[0][8:]) for path in RECORDS] == rows
