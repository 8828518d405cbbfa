"""Each promise has a row in tests/README.md with a test that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

import promises
from promises import Row

ROOT = Path(__file__).parents[2]
CODE = """
def act(run):
    if run.old:
        raise Refused(f"{run.node} is too old; nothing was changed")
    return halt(run, "refused", "nobody answered")
"""
TABLES = """
### Bad days

| promise | test | layer |
|---|---|---|
| etcd: disk full | `test_days.py::test_full` | system |

### Gates

| promise | test | layer |
|---|---|---|
| one_leader | `test_gates.py::test_gate` | unit |

### Refusals

| promise | test | layer |
|---|---|---|
| plan: … is too old; nothing was changed | `test_plan.py::test_old` | unit |
| plan: nobody answered | no test yet | - |

### Verbs

| promise | test | layer |
|---|---|---|
| etcd: stop | `test_days.py::test_full` | system |
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that promises five things, with a row for each."""
    files = {
        "docs/bad-days.md": "## Measured: etcd\n\n| bad day | outcome |\n|--|--|\n| disk full | refused |\n",
        "src/nodewise/gates/common.yml": "one_leader: {that: a, fail_msg: b}\n",
        "src/nodewise/upgrade/plan.py": CODE,
        "roles/etcd/tasks/stop.yml": "",
        "tests/README.md": TABLES,
        "tests/system/test_days.py": "def test_full():\n    pass\n",
        "tests/unit/test_gates.py": "def test_gate():\n    pass\n",
        "tests/unit/test_plan.py": "def test_old():\n    pass\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_promises() -> None:
    """Every promise of the code and the docs has its row, and every test that is named is there, in the layer that is said."""
    assert [] == promises.problems(ROOT)


def test_promises_without_a_test() -> None:
    """None has a row without a test: whoever promises more shows it."""
    lacking = [row.name for row in promises.rows((ROOT / "tests/README.md").read_text()) if not row.test]
    assert [] == lacking


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (
            "src/nodewise/gates/common.yml",
            "no_alarms: {that: a, fail_msg: b}\none_leader: {}\n",
            "no row in tests/README.md: gate | no_alarms",
        ),
        ("roles/etcd/meta/ctl/upgrade.yml", "gates: {g: {}}\n", "no row in tests/README.md: gate | etcd ctl: g"),
        ("roles/etcd/tasks/start.yml", "", "no row in tests/README.md: verb | etcd: start"),
        ("plugins/action/ask.py", 'raise Refused("no")\n', "no row in tests/README.md: refusal | action ask: no"),
        ("src/nodewise/gates/common.yml", "{}\n", "no such promise (any more): gate | one_leader"),
        ("tests/unit/test_plan.py", "def test_new():\n    pass\n", "no such test: unit/test_plan.py::test_old"),
        ("tests/README.md", TABLES.replace("| system |", "| unit |", 1), "no such test: unit/test_days.py::test_full"),
    ],
)
def test_what_is_off_is_found(checkout: Path, file: str, text: str, expected: str) -> None:
    """A promise without a row, a row without a promise, a test that is not there, and a wrong layer are each named."""
    assert [] == promises.problems(checkout)
    (checkout / file).parent.mkdir(parents=True, exist_ok=True)
    (checkout / file).write_text(text)
    assert [expected] == promises.problems(checkout)


def test_tables_are_put_right(checkout: Path) -> None:
    """Other words of a refusal keep its test, a promise that is gone loses its row, and a new one has no test yet."""
    (checkout / "src/nodewise/upgrade/plan.py").write_text('raise Refused(f"{node} is far too old; nothing was changed")\n')
    (checkout / "roles/etcd/tasks/start.yml").touch()
    page = promises.rewritten(TABLES, promises.promised(checkout))
    assert [
        Row("refusal", "plan: … is far too old; nothing was changed", "test_plan.py::test_old", "unit"),
        Row("verb", "etcd: stop", "test_days.py::test_full", "system"),
        Row("verb", "etcd: start", None, "-"),
    ] == list(promises.rows(page))[2:]
    assert page == promises.rewritten(page, promises.promised(checkout))
