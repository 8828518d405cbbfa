"""One licence, GPL-3.0-or-later: LICENSE has its text, package and collection name it, and every shipped Python file carries it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LICENCE = "GPL-3.0-or-later"
HEADER = ["# SPDX-FileCopyrightText: Nodewise contributors", f"# SPDX-License-Identifier: {LICENCE}"]


def lacking(root: Path) -> list[str]:
    """Python files of plugins/, src/ and scripts/ that do not begin with the header, a shebang aside; empty ones may."""
    paths = sorted(path for folder in ("plugins", "src", "scripts") for path in (root / folder).rglob("*.py"))
    return [str(path.relative_to(root)) for path in paths if (text := path.read_text()) and HEADER != header(text)]


def header(text: str) -> list[str]:
    """The first two lines of a file that are not its shebang."""
    lines = text.splitlines()
    return lines[1:3] if text.startswith("#!") else lines[:2]


def test_every_python_file_has_the_header() -> None:
    """Copyright and licence stand in the same two lines at the top of each file."""
    assert [] == lacking(ROOT)


@pytest.mark.parametrize("text", ["import os\n", f"{HEADER[0]}\nimport os\n", f"# Copyright: us\n{HEADER[1]}\n"])
def test_a_missing_header_is_found(text: str, tmp_path: Path) -> None:
    """A file without the header, with half of it or with another copyright line is named."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text(text)
    assert ["src/a.py"] == lacking(tmp_path)


def test_package_collection_and_text_agree() -> None:
    """pyproject.toml, galaxy.yml and LICENSE name one licence, and the package ships its text."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())["license"]
    assert [LICENCE, ["LICENSE"], [LICENCE]] == [project["license"], project["license-files"], galaxy]
    title = [line.strip() for line in (ROOT / "LICENSE").read_text().splitlines()[:2]]
    assert ["GNU GENERAL PUBLIC LICENSE", "Version 3, 29 June 2007"] == title
