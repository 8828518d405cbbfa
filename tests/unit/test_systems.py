"""Systems are found by name: our own by their folder, a user's by an entry point of the user's package."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml

from nodewise.errors import UsageError
from nodewise.simulation.workloads.client import Scans
from nodewise.simulation.workloads.data import Holds
from nodewise.systems import catalog
from tests.unit.test_directions import ROLES_FOR_ALL, included_roles

ROOT = Path(__file__).parents[2]
FOR_ANY = {*ROLES_FOR_ALL, "nodewise.cluster.upgrade"}
GIVES = """
from nodewise.simulation.workloads.client import Noop
def url(address): return f"notes://{address}"
def connect(urls, credentials): return lambda node: Noop()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module of an entry point `acme.demo.notes`, still to be written."""
    entry = EntryPoint("acme.demo.notes", "acme_notes", catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [entry] if group == catalog.GROUP else [])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_notes", raising=False)
    return tmp_path / "acme_notes.py"


# A role that serves many services, each with a protocol of its own, has no clients for them.
OURS = [path for path in ROOT.glob("roles/*/meta/upgrade.yml") if "described_by" not in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize("name", sorted(path.parents[1].name for path in OURS))
def test_a_system_of_ours_gives_all_there_is(name: str) -> None:
    """Its clients can be told to hold the data from before, and to read everything back."""
    system = catalog.find(name)
    client = system.connect({"n1": system.url("192.0.2.1")}, None)("n1")
    assert isinstance(client, Scans)
    assert isinstance(client, Holds)


def test_a_system_of_ones_own(package: Path) -> None:
    """It is found by the name of its entry point, which is that of its role."""
    package.write_text(GIVES)
    assert "notes://192.0.2.1" == catalog.find("acme.demo.notes").url("192.0.2.1")


@pytest.mark.parametrize("book", sorted(ROOT.glob("playbooks/*.yml")), ids=lambda path: path.stem)
def test_playbooks_take_the_role_by_its_fqcn(book: Path) -> None:
    """A verb is performed by the role that the cluster's inventory names; all other roles are Nodewise's own, for any system."""
    roles = {name for name in included_roles(yaml.safe_load(book.read_text())) if name not in FOR_ANY}
    assert roles <= {"{{ nodewise_run.role }}"}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "swift",
            GIVES,
            r"for system 'swift'; found: acme.demo.notes, app, etcd, postgresql; expected it in the entry points 'nodewise",
        ),
        (
            "acme.demo.notes",
            "import no_such_module",
            r"of acme.demo.notes, acme_notes, cannot be imported: No module named 'no_such_",
        ),
        (
            "acme.demo.notes",
            "def url(address): return ''",
            r"of acme.demo.notes, acme_notes, lacks url or connect; expected the func",
        ),
    ],
    ids=["unknown", "broken", "incomplete"],
)
def test_what_is_no_system(package: Path, name: str, text: str, says: str) -> None:
    """One line says what was found and what was expected."""
    package.write_text(text)
    with pytest.raises(UsageError, match=says) as refused:
        catalog.find(name)
    assert 1 == len(str(refused.value).splitlines())
