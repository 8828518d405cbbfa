"""What an operator says with -e reaches the engine: each option is passed on, from a variable that is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodewise.cluster.plugins.plugin_utils.clusters import places
from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import options
from nodewise.renamed import VARIABLES, of_role

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/upgrade"
DEFAULTS: dict[str, str] = {name: str(value) for name, value in yaml.safe_load((ROLE / "defaults/main.yml").read_text()).items()}
PLACES = {old: new for old, new in VARIABLES.items() if old in {"nodewise_group", "nodewise_domain"}}  # read by no role
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
    """`upgrade_x` reads one variable that begins with nodewise_, which docs/variables.md explains, or its old name."""
    new, *old = re.findall(r"nodewise_\w+", DEFAULTS[name])
    assert re.search(rf"`{new}`", (ROOT / "docs/variables.md").read_text()), new
    assert [old for old, now in VARIABLES.items() if now == new] == old


RENAMED = {pair for role in ROOT.glob("roles/*") for pair in of_role(role).items()}


@pytest.mark.parametrize(("old", "new"), sorted(RENAMED - set(PLACES.items())))
def test_every_old_name_is_read_after_the_new_one(old: str, new: str) -> None:
    """A variable that was renamed is read by its new name, else by its old one, in the one default that reads it."""
    defaults = [path.read_text() for path in ROOT.glob("roles/*/defaults/main.yml")]
    reads = [line for text in defaults for line in text.splitlines() if re.search(rf"\b{old}\b", line)]
    assert reads
    assert all(f"{new} | default({old})" in line or f"{new} is not defined and {old} is not defined" in line for line in reads)


@pytest.mark.parametrize(("old", "new"), sorted(PLACES.items()))
@pytest.mark.parametrize("both", [False, True])
def test_groups_and_domains_by_their_old_names(old: str, new: str, *, both: bool) -> None:
    """Where a member lies is read on the controller, from the old name only where the new one is not given."""
    hosts = {"n1": {old: "a", **({new: "b"} if both else {})}, "n2": {}}
    found = places("c", ["n1", "n2"], hosts)
    own = "b" if both else "a"
    assert own == (found["group_of"]["n1"] if "group" in old else found["domains"]["n1"])
