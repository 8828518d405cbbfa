"""Pages of the docs that repeat what stands in the code: the verbs of a system, and links between pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodewise.upgrade.declared import components, declaration
from tests.unit.test_contract import SYSTEMS, VERBS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING")] + sorted((ROOT / "docs").rglob("*.md"))
LINKS = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def documented() -> set[str]:
    """The verbs that docs/systems.md lists."""
    section = (ROOT / "docs/systems.md").read_text().partition("\n## Verbs\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    return {verb for cell in cells for verb in re.findall(r"`(\w+)`", cell)}


def steps(role: Path) -> set[str]:
    """The verbs that a role's declared steps perform, those of the cluster, too."""
    parts = [declaration(role, name) for name in ("", *components(role))]
    return {step.verb for one in parts for step in (*one.before_first, *one.steps, *one.after_last) if step.verb}


@pytest.mark.parametrize("role", SYSTEMS, ids=lambda role: role.name)
def test_every_verb_is_documented(role: Path) -> None:
    """The contract's verbs are in the list, and each verb of a role is there or belongs to a step of its own."""
    assert set() == {*VERBS, *(path.stem for path in role.glob("tasks/*.yml"))} - documented() - steps(role)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file of the checkout finds it, and the heading that it names."""
    targets = [((page.parent / path).resolve() if path else page, anchor) for path, anchor in LINKS.findall(page.read_text())]
    assert [] == [str(path) for path, _ in targets if not path.exists()]
    assert [] == [f"{path}#{anchor}" for path, anchor in targets if anchor and anchor not in anchors(path)]
