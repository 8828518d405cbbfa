"""What an operator says with -e reaches the engine: each option is passed on, from a variable that is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import options

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/upgrade"
DEFAULTS: dict[str, str] = {name: str(value) for name, value in yaml.safe_load((ROLE / "defaults/main.yml").read_text()).items()}
PAGES = "".join((ROOT / f"docs/{page}.md").read_text() for page in ("variables", "glossary"))
OWN = {"upgrade_kind", "upgrade_baseline", "upgrade_fresh"}  # of the playbooks and tests, not an operator's


def arguments(file: str, action: str) -> dict[str, Any]:
    """What a tasks file passes to an action."""
    tasks = yaml.safe_load((ROLE / "tasks" / file).read_text())
    return dict(next(task[f"nodewise.cluster.{action}"] for task in tasks if f"nodewise.cluster.{action}" in task))


@pytest.mark.parametrize(("file", "action"), [("begin.yml", "begin"), ("plan.yml", "plan")])
def test_every_option_is_passed(file: str, action: str) -> None:
    """An option that no play passes would have its default whatever the operator says."""
    passed = arguments(file, action)
    assert set(options(action)) == set(passed)
    read = {name for value in passed.values() for name in re.findall(r"upgrade_\w+", str(value))}
    assert set() == read - set(DEFAULTS)


@pytest.mark.parametrize("name", sorted(set(DEFAULTS) - OWN))
def test_every_variable_is_the_operators_and_documented(name: str) -> None:
    """`upgrade_x` reads one variable that begins with nodewise_, which docs/variables.md or, of an old one, the glossary has."""
    read = re.findall(r"nodewise_\w+", DEFAULTS[name])
    assert 1 == len(read)
    assert re.search(rf"`{read[0]}`", PAGES), read
