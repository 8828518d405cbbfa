"""Releases that are kept for the next testnet of the same kind: whose, and how many."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nodewise.testnet import image, staged, state


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it."""
    monkeypatch.setenv("NODEWISE_HOME", str(tmp_path))
    monkeypatch.setattr(image, "tag", lambda: "node:1")
    (tmp_path / "staged").mkdir()
    return tmp_path / "staged"


def net(**fields: Any) -> state.Testnet:
    """A testnet of etcd."""
    given = {"system": "etcd", "version": "3.5.16", **fields}
    return state.Testnet("dev", (state.Node("dev-n1", "10.0.0.1"),), "10.0.0.0/24", **given)


def test_what_is_kept_is_of_one_kind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same system, version, variables and image; the name of the testnet and the number of its nodes do not matter."""
    (home / f"{staged._key(net())}-1.tar").touch()
    assert 1 == len(staged._kept(net()))
    assert 1 == len(staged._kept(net(status="up", created=7.0)))
    assert [] == staged._kept(net(version="3.4.23")) + staged._kept(net(variables={"nodewise_root": "/srv"}))
    monkeypatch.setattr(image, "tag", lambda: "node:2")
    assert [] == staged._kept(net())


@pytest.mark.parametrize(
    ("fields", "own"),
    [
        ({}, False),
        ({"variables": {"nodewise_releases": {"9": {}}}}, True),
        ({"system": "app"}, True),
        ({"system": None, "version": None}, True),
    ],
)
def test_a_users_own_artifacts_are_not_kept(fields: dict[str, Any], own: bool) -> None:
    """They may be others the next time, under the same version; and without a system there are none."""
    assert own == staged._own(net(**fields))


def test_what_was_not_used_for_longest_goes_first(home: Path) -> None:
    """Until the rest fits."""
    for number in range(4):
        (home / f"{number}.tar").write_bytes(b"x" * 10)
        os.utime(home / f"{number}.tar", (number, number))
    os.utime(home / "0.tar", (9, 9))
    assert ["2.tar", "1.tar"] == [path.name for path in staged._beyond(25)]
    assert [] == list(staged._beyond(40))
