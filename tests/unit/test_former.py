"""What a change of settings would write, shown without secrets; and what was there before, kept and put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import write_all
from ansible_collections.nodewise.cluster.plugins.module_utils.node import former


@pytest.fixture
def files(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Three files, as they are to be: one is there and differs, one is a secret and differs, one is not there."""
    (tmp_path / "root").mkdir()
    setting, key, new = (str(tmp_path / name) for name in ("e.yml", "node.key", "new"))
    write_all([], {setting: {"content": "quota: 2\nname: n1\n"}, key: {"content": "old\n", "mode": "0600"}})
    return {setting: {"content": "quota: 4\nname: n1\n"}, key: {"content": "hunter2\n", "mode": "0600"}, new: {"content": "x\n"}}


def test_what_differs_is_shown_and_no_secret(files: dict[str, dict[str, Any]]) -> None:
    """Lines of a file that everybody may read; of another one only that it changes."""
    setting, key, new = files
    assert [f"{setting}: -quota: 2", f"{setting}: +quota: 4"] == former.shown(setting, files[setting])
    assert [f"{key}: changes, and holds secrets"] == former.shown(key, files[key])
    assert [f"{new}: is new"] == former.shown(new, files[new])


def test_a_file_that_hides_its_text_today_does_not_show_it(files: dict[str, dict[str, Any]]) -> None:
    """Although it is to be readable by all."""
    _setting, key, _new = files
    assert [f"{key}: changes, and holds secrets"] == former.shown(key, {"content": "hunter2\n", "mode": "0644"})


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password: hunter2", "password: …"),
        ("Environment=API_TOKEN=hunter2", "Environment=API_TOKEN=…"),
        ("url: https://me:hunter2@example.com/", "url: https://…@example.com/"),
        ("passfile: /etc/pass", "passfile: /etc/pass"),
        ("election-timeout: 50", "election-timeout: 50"),
    ],
)
def test_values_that_smell_of_secrets(tmp_path: Path, line: str, shown: str) -> None:
    """They are masked in files that everybody may read, too; where a secret lies is none."""
    path = tmp_path / "e.yml"
    path.write_text("")
    assert [f"{path}: +{shown}"] == former.shown(str(path), {"content": f"{line}\n"})


def test_what_was_there_comes_back(files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """To the byte and with its mode, also where the change was begun twice; what was not there is gone."""
    root, (setting, key, new) = str(tmp_path / "root"), files
    for _ in range(2):
        former.keep(root, "one", list(files))
        write_all([], files)
    assert 0o700 == (tmp_path / "root/former").stat().st_mode & 0o777
    assert [setting, key, new] == former.put_back(root, "one")
    assert ("quota: 2\nname: n1\n", "old\n") == (Path(setting).read_text(), Path(key).read_text())
    assert 0o600 == Path(key).stat().st_mode & 0o777
    assert not Path(new).exists()
    assert [] == former.put_back(root, "one"), "it may be run twice"


def test_another_change_has_nothing_to_put_back(files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """What an earlier one kept is not what was there before this one."""
    root = str(tmp_path / "root")
    former.keep(root, "one", list(files))
    write_all([], files)
    assert [] == former.put_back(root, "two")
    assert [] == former.put_back(str(tmp_path), "two"), "nothing was kept at all"


def test_a_digest_tells_files_apart(files: dict[str, dict[str, Any]]) -> None:
    """By content and by mode."""
    other = {path: {**one, "mode": "0640"} for path, one in files.items()}
    assert former.digest(files) == former.digest(dict(files)) != former.digest(other)
