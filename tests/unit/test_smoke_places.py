"""Where suites are looked for: one's own first, then those of the collection that the system's role is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.plugin_utils import suites

ROOT = Path(__file__).resolve().parents[2]
Made = dict[str, Path]


def suite(folder: Path, name: str) -> Path:
    """A suite of one script."""
    (folder / name).mkdir(parents=True)
    (folder / name / "a").write_text("#!/bin/sh\n")
    (folder / name / "a").chmod(0o755)
    return folder / name


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A collection `acme.storage` with the role `ring` and two suites, and a folder of one's own with a suite."""
    collection = tmp_path / "ansible_collections/acme/storage"
    monkeypatch.setattr(suites, "role_path", lambda role: roles[role] if role in roles else absent(role))
    roles = {"acme.storage.ring": collection / "roles/ring", "nodewise.cluster.smoke": ROOT / "roles/smoke"}
    monkeypatch.chdir(tmp_path)
    found = {"mine": suite(tmp_path / "own", "mine")}
    return found | {name: suite(collection / "suites", name) for name in ("ring", "other")}


def absent(role: str) -> Path:
    """No such collection."""
    raise suites.NodewiseError(role)


def told(role: str) -> dict[str, Any]:
    """What a play knows."""
    return {"nodewise_run": {"role": role}}


def chosen(names: list[str], own: Path, role: str) -> list[str]:
    """The folders of the suites that are chosen."""
    return [one.folder for one in suites.chosen(names, [str(own)], told(role))]


def test_without_a_name(made: Made) -> None:
    """All of one's own, and the one that is named like the role, from the role's own collection and no other."""
    own = made["mine"].parent
    assert [str(made["mine"]), str(made["ring"])] == chosen([], own, "acme.storage.ring")
    assert [str(made["mine"])] == chosen([], own, "acme.other.etcd"), "Nodewise has a suite of that name, for another role"


def test_a_folder_that_is_not_there(made: Made) -> None:
    """It is refused by name: what is in it would be left out in silence."""
    with pytest.raises(suites.NodewiseError, match=r"nodewise_suites names .*/nowhere, which is not a folder"):
        chosen(["mine"], made["mine"].parent / "nowhere", "acme.storage.ring")


def test_by_name(made: Made) -> None:
    """A suite of the role's collection, and one that comes with Nodewise."""
    found = chosen(["other", "http"], made["mine"].parent, "acme.storage.ring")
    assert [str(made["other"]), str(ROOT / "suites/http")] == found


def test_ones_own_comes_first(made: Made) -> None:
    """A suite of one's own by the role's name takes its place, and is run once."""
    mine = suite(made["mine"].parent, "ring")
    assert [str(made["mine"]), str(mine)] == chosen([], mine.parent, "acme.storage.ring")


def test_in_the_collections_own_folder(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever works there has its suites as the system's, not all of them as one's own."""
    monkeypatch.chdir(made["ring"].parents[1])
    assert [str(made["ring"])] == [one.folder for one in suites.chosen([], [], told("acme.storage.ring"))]
