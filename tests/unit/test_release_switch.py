"""What a switch decides by: the link, the process, the state of the unit. The switch itself is tested on a node."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import ENVIRONMENT
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import State, Unit, UnitError
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import ReleaseError, Store, digest
from ansible_collections.nodewise.cluster.plugins.module_utils.release.switching import point, runs_from, settled, switch


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two staged releases of one program each."""
    for version in ("1.0", "2.0"):
        place = tmp_path / "releases" / version
        (place / "files").mkdir(parents=True)
        (place / "bin").mkdir()
        (place / "files/demo").write_text(version)
        (place / "bin/demo").symlink_to("../files/demo")
        entry = {"path": "demo", "sha256": digest(str(place / "bin/demo"))}
        (place / "release.json").write_text(json.dumps({"version": version, "binaries": {"demo": entry}}))
    return Store(str(tmp_path))


def state(exe: str | None, active: str = "active", age: float = 0.0) -> State:
    """A unit whose main process runs `exe` and began `age` seconds ago."""
    made = State(
        {
            "LoadState": "loaded",
            "ActiveState": active,
            "SubState": "running",
            "MainPID": "0",
            "ExecMainStartTimestampMonotonic": "0",
            "NRestarts": "0",
            "NeedDaemonReload": "no",
            "Result": "success",
        }
    )
    made.exe, made.started = exe, time.time() - age
    return made


def program(store: Store, version: str) -> str:
    """Where a release's program really lies."""
    return str(Path(store.path(version), "bin/demo").resolve())


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_point_is_relative_and_replaces(store: Store) -> None:
    """The link leads to the release by a relative path, and is replaced without a moment between."""
    for version in ("1.0", "2.0"):
        point(store.link, store.path(version))
        assert Path(store.link).readlink() == Path("releases", version)
        assert version == store.linked()
    assert ["current", "releases"] == names(Path(store.link).parent)


def test_point_elsewhere(store: Store, tmp_path: Path) -> None:
    """A link of one's own may lie outside of the root."""
    elsewhere = Store(str(tmp_path), str(tmp_path / "releases/../opt-demo"))
    point(elsewhere.link, store.path("2.0"))
    assert "2.0" == elsewhere.linked()


def test_settled(store: Store) -> None:
    """Nothing is to be done when the link leads to the version and the active unit runs from it; each alone is not enough."""
    point(store.link, store.path("2.0"))
    runs = state(program(store, "2.0"))
    assert settled(store, "2.0", runs)
    assert not settled(store, "2.0", state(program(store, "1.0")))
    assert not settled(store, "2.0", state(program(store, "2.0"), active="activating"))
    assert not settled(store, "2.0", state(None))
    assert not settled(store, "2.0", state(program(store, "2.0") + " (deleted)"))
    point(store.link, store.path("1.0"))
    assert not settled(store, "2.0", runs)


def test_interpreter(store: Store) -> None:
    """A process whose program is in no release is told by its age: it runs what the link led to when it began."""
    point(store.link, store.path("2.0"))
    assert runs_from(store, "2.0", state("/usr/bin/python3.11", age=-1))
    assert not runs_from(store, "2.0", state("/usr/bin/python3.11", age=60))
    assert not runs_from(store, "1.0", state("/usr/bin/python3.11", age=-1))


def test_linked_is_none_elsewhere(store: Store, tmp_path: Path) -> None:
    """No link, a link to elsewhere and a folder are no version."""
    assert store.linked() is None
    Path(store.link).symlink_to("/usr")
    assert store.linked() is None
    assert Store(str(tmp_path), str(tmp_path / "releases/1.0")).linked() is None


def test_damage(store: Store, tmp_path: Path) -> None:
    """A release that is missing, without a manifest, changed or without its program is not to be used."""
    assert "" == store.damage("1.0")
    assert "is not staged" == store.damage("3.0")
    (tmp_path / "releases/1.0/files/demo").write_text("other")
    assert store.damage("1.0").startswith("is damaged: bin/demo has sha256 ")
    (tmp_path / "releases/1.0/files/demo").unlink()
    assert "bin/demo has sha256 unreadable" in store.damage("1.0")
    (tmp_path / "releases/2.0/release.json").write_text("[]")
    assert "has no readable release.json" == store.damage("2.0")


@pytest.mark.parametrize("version", ["", ".", "..", "../1.0", "/etc", "1.0/..", "-f", "1 0", "1.0\n"])
def test_version_that_is_no_name(store: Store, version: str) -> None:
    """A version that is no plain name never becomes a path."""
    with pytest.raises(ReleaseError, match="is not a version"):
        store.path(version)


def test_untouched_programs_are_not_hashed(store: Store) -> None:
    """A program of the size and time that staging noted is trusted by a switch, not by staging; any other is hashed by both."""
    manifest, file = Path(store.path("1.0"), "release.json"), Path(store.path("1.0"), "files/demo")
    noted = json.loads(manifest.read_text())
    found = file.stat()
    noted["binaries"]["demo"].update(size=found.st_size, mtime_ns=found.st_mtime_ns)
    manifest.write_text(json.dumps(noted))
    file.write_text("9.9")
    assert "is damaged" in store.damage("1.0")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert "" == store.damage("1.0")
    assert "is damaged" in store.damage("1.0", hashed=True)
    file.write_text("longer")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert "is damaged" in store.damage("1.0")
    file.unlink()
    assert "sha256 unreadable" in store.damage("1.0")


def test_refused_before_the_unit_is_looked_at(store: Store) -> None:
    """A release that cannot be used is refused first: nothing is stopped for it."""
    with pytest.raises(ReleaseError, match=r"3\.0 is not staged; staged are: 1\.0, 2\.0\. Nothing was changed"):
        switch(store, Unit("nodewise-no-such-unit"), "3.0", 1.0)
    Path(store.link).mkdir()
    with pytest.raises(ReleaseError, match="is not a symbolic link; nothing was changed"):
        switch(store, Unit("nodewise-no-such-unit"), "1.0", 1.0)


def test_unit_without_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where systemd does not answer, the state is an error and nothing else."""
    monkeypatch.setitem(ENVIRONMENT, "PATH", str(tmp_path))
    with pytest.raises(UnitError, match="systemd does not tell how demo is: systemctl: No such file"):
        Unit("demo").state()
