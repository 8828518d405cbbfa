"""Protected scenarios: changing one takes an entry in the changelog that names it with its new checksum and says why."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

import promises

ROOT = Path(__file__).parents[2]


def problems(root: Path) -> list[str]:
    """What is off with the protected scenarios of a checkout, and what to do about it, one line each."""
    found = []
    changelog = " ".join(" ".join(path.read_text().split()) for path in sorted((root / "changelogs").rglob("*.y*ml")))
    for name, test in tomllib.loads((root / "tests/baseline.toml").read_text()).items():
        file, _, function = str(test).partition("::")
        checksum = hashlib.sha256((root / name).read_bytes()).hexdigest()[:12] if (root / name).exists() else "gone"
        if not re.search(rf"baseline - {re.escape(name)} is now {checksum}, because (\S+ ){{3}}", changelog):
            found.append(f"{name} is protected and changed: add 'baseline - {name} is now {checksum}, because …' to a fragment")
        if function not in promises.functions(root / "tests" / file):
            found.append(f"{name} is protected, and its test is not there: {test}")
    return found


def test_protected_scenarios() -> None:
    """Each is as its last entry in the changelog says, and the test that runs it is there."""
    assert [] == problems(ROOT)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("scenarios/a.yml", "name: other\n", "changed: add 'baseline - scenarios/a.yml is now 1e6ee518ccbf, because …'"),
        ("changelogs/fragments/1.yml", "minor_changes:\n  - baseline - scenarios/a.yml is now ENTRY.\n", "changed: add"),
        (
            "tests/baseline.toml",
            '"scenarios/b.yml" = "e2e/test_a.py::test_a"\n',
            "add 'baseline - scenarios/b.yml is now gone, because …'",
        ),
        ("tests/e2e/test_a.py", "def test_b():\n    pass\n", "its test is not there: e2e/test_a.py::test_a"),
    ],
)
def test_a_change_is_found(tmp_path: Path, file: str, text: str, expected: str) -> None:
    """A scenario that changed, an entry that does not say why, and a scenario or test that is gone are each named."""
    files = {
        "scenarios/a.yml": "name: a\n",
        "changelogs/fragments/1.yml": "minor_changes:\n  - baseline - scenarios/a.yml is now ENTRY,\n    because it is the demo.\n",
        "tests/baseline.toml": '"scenarios/a.yml" = "e2e/test_a.py::test_a"\n',
        "tests/e2e/test_a.py": "def test_a():\n    pass\n",
    }
    entry = hashlib.sha256(files["scenarios/a.yml"].encode()).hexdigest()[:12]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content.replace("ENTRY", entry))
    assert [] == problems(tmp_path)
    (tmp_path / file).write_text(text.replace("ENTRY", entry))
    (found,) = problems(tmp_path)
    assert expected in found
