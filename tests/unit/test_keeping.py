"""Before anything is stopped: the version that runs is there, whole, or is kept aside from where the link leads to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.release import keeping
from ansible_collections.nodewise.cluster.plugins.module_utils.release.keeping import keep
from ansible_collections.nodewise.cluster.plugins.module_utils.release.staging import NotToBeHad
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import ReleaseError, Store
from ansible_collections.nodewise.cluster.plugins.module_utils.release.switching import point
from nodewise.model import Hop, Release
from nodewise.upgrade import roll
from tests.unit.observed import observation


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store without releases; the link leads to what somebody else installed."""
    program = tmp_path / "by-hand/bin/demo"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "by-hand/share").mkdir()
    (tmp_path / "by-hand/share/data").write_text("data")
    (tmp_path / "link").symlink_to(tmp_path / "by-hand")
    return Store(str(tmp_path / "root"), str(tmp_path / "link"))


def test_what_something_else_installed_is_kept_aside(store: Store, tmp_path: Path) -> None:
    """It is a release as any other: verified by checksums, and the link can be put on it; the second time nothing is done."""
    assert str(tmp_path / "by-hand") == keep(store, "1.0", 0, check=True)
    assert [] == store.staged()
    assert str(tmp_path / "by-hand") == keep(store, "1.0", 0)
    assert (["1.0"], "", "") == (store.staged(), store.damage("1.0", hashed=True), keep(store, "1.0", 0))
    point(store.link, store.path("1.0"))
    assert ("1.0", "#!/bin/sh\n") == (store.linked(), Path(store.link, "bin/demo").read_text())
    assert os.access(Path(store.link, "bin/demo"), os.X_OK)
    assert "data" == Path(store.path("1.0"), "files/share/data").read_text()
    assert (tmp_path / "by-hand/bin/demo").exists()
    assert ["1.0"] == [path.name for path in Path(store.releases).iterdir()]


@pytest.mark.parametrize("file", ["files/bin/demo", "files/share/data"])
def test_what_is_damaged_could_not_be_put_back(store: Store, file: str) -> None:
    """One byte more in any file of the version that runs is named, with what to do."""
    keep(store, "1.0", 0)
    path = Path(store.path("1.0"), file)
    times = path.stat()
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(NotToBeHad, match=r"1\.0 runs and could not be put back: it is damaged: .*run the same command again"):
        keep(store, "1.0", 0)


def test_a_manifest_that_is_gone(store: Store) -> None:
    """A folder without its manifest is none that can be verified."""
    keep(store, "1.0", 0)
    Path(store.path("1.0"), "release.json").unlink()
    with pytest.raises(NotToBeHad, match=r"has no readable release\.json"):
        keep(store, "1.0", 0)


@pytest.mark.parametrize("trouble", ["no link", "no bin", "gone", "elsewhere"])
def test_what_cannot_be_kept(store: Store, tmp_path: Path, trouble: str) -> None:
    """There is nothing behind the link, or no program that would stay where it is."""
    place = tmp_path / "by-hand"
    if trouble == "no link":
        (tmp_path / "link").unlink()
        place.rename(tmp_path / "link")
    elif trouble == "no bin":
        (place / "bin").rename(place / "sbin")
    elif trouble == "gone":
        place.rename(tmp_path / "other")
    else:
        (place / "bin/demo").rename(tmp_path / "demo")
        (place / "bin/demo").symlink_to(tmp_path / "demo")
    with pytest.raises(NotToBeHad, match=r"1\.0 runs and could not be put back: .*/link leads to no folder with bin/"):
        keep(store, "1.0", 0)
    assert [] == store.staged()


def test_what_is_too_large(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to a whole system is not followed."""
    monkeypatch.setattr(keeping, "LARGEST", 3)
    with pytest.raises(NotToBeHad, match="too much to be kept"):
        keep(store, "1.0", 0)


def test_a_disk_without_room(store: Store) -> None:
    """Nothing is left half-kept."""
    with pytest.raises(ReleaseError, match=r"MiB free, expected .* to keep .*/by-hand"):
        keep(store, "1.0", 1 << 60)
    assert [] == list(Path(store.releases).iterdir())


def test_which_version_is_kept() -> None:
    """What each member runs and the hop leaves; of a later hop where it begins; none where going back needs packages."""
    seen = {"c": observation(n1={"version": "3.5.16"}, n2={"version": None}, n3={"version": "3.4.22"})}
    hop = Hop("3.4.23", "3.5.16", Release("3.5.16", []), None)
    assert {"n3": "3.4.22"} == roll.to_keep(hop, seen, first=True)
    assert {} == roll.to_keep(hop, seen, first=False)
    assert {"n1": "3.5.16"} == roll.to_keep(Hop("3.5.16", "3.5.30", hop.release, None), seen, first=False)
    assert {} == roll.to_keep(Hop("3.4.22", "3.5.16", hop.release, None, back=hop.release), seen, first=True)
