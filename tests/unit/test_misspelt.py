"""A variable that nothing reads: refused with -e, warned of in an inventory, and refused there, too, where that is wanted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodewise.cluster.plugins.action import begin
from ansible_collections.nodewise.cluster.plugins.plugin_utils import variables
from nodewise.errors import NodewiseError
from nodewise.upgrade.declared import components
from tests.notes import NAMES
from tests.unit.simulated import HostVars, Simulated

ROOT = Path(__file__).parents[2]
KNOWN = variables.known([ROOT], components(ROOT / "roles/postgresql"))
DOCUMENTED = {
    name
    for page in ("variables.md", "postgresql.md", "operations.md", "smoke.md")
    for name in re.findall(r"^\| (.*?) \|", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    for name in re.findall(r"`(nodewise_\w+)`", name)
}


@pytest.fixture
def notes(tmp_path: Path) -> Simulated:
    """A healthy cluster."""
    return Simulated(tmp_path)


def given(monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    """Variables given with -e."""
    monkeypatch.setattr(begin, "load_extra_vars", lambda _loader: extra)


def test_every_documented_variable_is_known() -> None:
    """And those of the inventories that come with Nodewise: nobody is warned of what the docs tell him to write."""
    assert len(DOCUMENTED) > 60
    assert set() == DOCUMENTED - KNOWN
    for path in (ROOT / "inventories").rglob("*.yml"):
        assert set() == set(re.findall(r"\bnodewise_\w+", str(yaml.safe_load(path.read_text())))) - KNOWN


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nodewise_soack", "there is no variable nodewise_soack (did you mean nodewise_soak?)"),
        ("nodewise_aprove", "there is no variable nodewise_aprove (did you mean nodewise_approve?)"),
        ("nodewise_too", "there is no variable nodewise_too (did you mean nodewise_to?)"),
        ("nodewise_zzz", "there is no variable nodewise_zzz: it was given"),
        ("nodewise_halted", "nodewise_halted is set by Nodewise itself"),
    ],
)
def test_with_e_it_is_refused(notes: Simulated, monkeypatch: pytest.MonkeyPatch, name: str, says: str) -> None:
    """In one line, with the nearest name, and nothing is begun."""
    given(monkeypatch, **{name: 1, "other": 2, "nodewise_to": "1.1.0"})
    assert "refused" == notes.upgrade("1.1.0")
    reason = str(notes.summary()["reason"])
    assert says in reason
    assert "\n" not in reason
    assert dict.fromkeys(NAMES, 0) == notes.starts()


def test_what_there_is_is_taken(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """New names, old ones, and what is not ours."""
    given(monkeypatch, nodewise_to="1.1.0", nodewise_via=[], nodewise_accept_outage=True, notes_folder="x", soack=1)
    assert "upgraded" == notes.upgrade("1.1.0")
    assert [] == notes.warned


def test_in_an_inventory_it_is_warned_of(notes: Simulated) -> None:
    """Once, for all hosts and names; the run goes on."""
    notes.inventory(notes={name: {"nodewise_soack": 60, "nodewise_colour": "red"} for name in NAMES})
    assert "upgraded" == notes.upgrade("1.1.0")
    said = "the inventory sets nodewise_colour, nodewise_soack (did you mean nodewise_soak?), which nothing reads"
    assert [said] == notes.warned


def test_and_refused_where_it_is_strict(notes: Simulated) -> None:
    """Before anything is looked at."""
    notes.inventory(notes={name: {"nodewise_soack": 60, "nodewise_strict": True} for name in NAMES})
    assert "refused" == notes.upgrade("1.1.0")
    assert "nodewise_soak?), which nothing reads, and nodewise_strict is set" in str(notes.summary()["reason"])


def test_a_play_without_a_record(notes: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Provisioning fails with the same line."""
    given(monkeypatch, nodewise_verson="3.5")
    notes.vars = HostVars(notes.folder / "hosts.yml")
    notes.check, notes.warned = False, []
    with pytest.raises(NodewiseError, match=r"nodewise_verson \(did you mean nodewise_version\?\)"):
        notes.once("begin", kind="provision")
