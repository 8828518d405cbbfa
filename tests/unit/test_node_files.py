"""Many files in one task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import FilesError, write_all


def mode(path: Path) -> int:
    """The permissions of a path."""
    return path.stat().st_mode & 0o7777


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_written_once(tmp_path: Path) -> None:
    """Folders and files come with their modes; a second time nothing is changed."""
    folders = [{"path": str(tmp_path / "a/b"), "mode": "0750"}]
    files = {str(tmp_path / "a/b/key"): {"content": "ü\n", "mode": "0600"}, str(tmp_path / "c/d"): {"content": ""}}
    expected = [str(tmp_path / name) for name in ("a/b", "a/b/key", "c/d")]
    assert expected == write_all(folders, files, check=True)
    assert [] == names(tmp_path)
    assert expected == write_all(folders, files)
    assert [] == write_all(folders, files)
    assert [0o750, 0o600, 0o644] == [mode(Path(path)) for path in expected]
    assert "ü\n" == (tmp_path / "a/b/key").read_text()


@pytest.mark.parametrize("change", [{"content": "new"}, {"content": "old", "mode": "0600"}])
def test_only_what_differs(tmp_path: Path, change: dict[str, str]) -> None:
    """Another content or mode is a change of that file alone; what is not asked for stays as it is."""
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_text("old")
        path.chmod(0o640)
    files = {str(one): change, str(other): {"content": "old"}}
    assert [str(one)] == write_all([], files)
    assert (change["content"], int(change.get("mode", "0640"), 8)) == (one.read_text(), mode(one))
    assert 0o640 == mode(other)


def test_an_owner_that_check_mode_did_not_make(tmp_path: Path) -> None:
    """Who is to own a file may not be there before the tasks above have run: in check mode that is a change, not a failure."""
    path = tmp_path / "x"
    path.write_text("old")
    wanted: dict[str, Any] = {str(path): {"content": "old", "owner": "nosuchuser"}}
    assert [str(path)] == write_all([], wanted, check=True)
    with pytest.raises(FilesError, match="owner nosuchuser"):
        write_all([], wanted)


def test_readers_see_whole_files(tmp_path: Path) -> None:
    """A file is replaced, not rewritten: who has it open keeps the old one, and no part of a try is left."""
    path = tmp_path / "x"
    path.write_text("old")
    with path.open() as reader:
        write_all([], {str(path): {"content": "new"}})
        assert "old" == reader.read()
    assert ["x"] == names(tmp_path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"contents": "x"}, "found contents; expected content"),
        ({"content": 7}, "expected content"),
        ("x", "found str; expected content"),
        ({"content": "x", "mode": "rw"}, "mode is 'rw', expected octal digits"),
        ({"content": "x", "mode": 420}, "mode is 420, expected octal digits"),
        ({"content": "x", "owner": "nodewise-nobody"}, "owner nodewise-nobody or group None is unknown"),
    ],
)
def test_file_that_is_off(tmp_path: Path, given: Any, says: str) -> None:
    """What cannot be meant is refused in one line that names the path, and nothing is written."""
    with pytest.raises(FilesError, match=says) as error:
        write_all([], {str(tmp_path / "x"): given})
    assert str(tmp_path / "x") in str(error.value)
    assert [] == names(tmp_path)


def test_something_else_is_there(tmp_path: Path) -> None:
    """A folder is not replaced by a file, nor a link followed or replaced."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("folder", "link"):
        with pytest.raises(FilesError, match="not a plain file; it was left alone"):
            write_all([], {str(tmp_path / name): {"content": "x"}})
    (tmp_path / "file").write_text("x")
    with pytest.raises(FilesError, match="is not a folder"):
        write_all([{"path": str(tmp_path / "file")}], {})


def test_stops_at_the_first_that_fails(tmp_path: Path) -> None:
    """When the disk or the system says no, the error tells what was changed before it."""
    files = {str(tmp_path / "a"): {"content": "x"}, "/proc/nodewise": {"content": "x"}}
    with pytest.raises(FilesError, match=f"/proc/nodewise: .*changed before it: {tmp_path}/a"):
        write_all([], files)
