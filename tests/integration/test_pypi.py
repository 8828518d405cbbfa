"""Wheels from the index that this machine's pip is configured with."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import Any

import pytest

from nodewise.errors import Refused
from nodewise.releases import pypi

NODES: dict[str, Any] = {"n1": {"python": "3.11", "machine": platform.machine(), "libc": "2.36"}}
SOURCES_ONLY = "ydiff==1.3"  # what the index has as sources only
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose cache has what was resolved by the first test."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def ours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in that home."""
    monkeypatch.setenv("NODEWISE_HOME", str(home))


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the index away."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.mark.slow
def test_resolved_once(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A wheel that had to be made is kept, stays the same without an index, and is had again when its file is lost."""
    first = pypi.wheels([SOURCES_ONLY], [SOURCES_ONLY], NODES)
    assert [("wheel", "ydiff=1.3", "wheel:ydiff-1.3-py3-none-any.whl")] == [(one.kind, one.package, one.url) for one in first]
    assert all(pypi.cached(one) for one in first)
    shutil.rmtree(home / "pypi/files")
    assert pypi.cached(first[0]) is None
    assert first == pypi.wheels([SOURCES_ONLY], [SOURCES_ONLY], NODES)
    offline(monkeypatch)
    assert first == pypi.wheels([SOURCES_ONLY], [SOURCES_ONLY], NODES)


def test_newest_of_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning of a version means the newest of its line; one that is not there is refused with what is."""
    assert "24.2" == pypi.newest("packaging=={version}", "24", NODES)
    with pytest.raises(Refused, match=r"the index has no packaging 1999; it has \d+\.\d"):
        pypi.newest("packaging=={version}", "1999", NODES)
    offline(monkeypatch)
    assert "24.2" == pypi.newest("packaging=={version}", "24", NODES)  # the list of today is kept


def test_without_an_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever has neither an index nor a cache is told so, in two lines."""
    offline(monkeypatch)
    monkeypatch.setenv("NODEWISE_HOME", str(tmp_path))
    for ask in (lambda: pypi.newest("packaging=={version}", "24", NODES), lambda: pypi.wheels(["packaging==24.2"], [], NODES)):
        with pytest.raises(Refused, match=r"pip could not have .*: its index did not answer\ngive nodewise_releases its wheels"):
            ask()
    assert not list(tmp_path.rglob("*.json"))


def test_what_is_not_there() -> None:
    """A version that the index does not have is refused in pip's words."""
    with pytest.raises(Refused, match=r"pip could not have packaging==1999\.1: ERROR: .*packaging==1999\.1"):
        pypi.wheels(["packaging==1999.1"], [], NODES)
