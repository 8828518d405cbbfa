"""Waiting for whoever changes a node."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.nodewise.cluster.plugins.module_utils.host.lock import held, wait_until_free


def test_who_holds_it_is_told(tmp_path: Path) -> None:
    """While a change is under way its name is returned; afterwards nothing."""
    lock = str(tmp_path / "demo.lock")
    with held(lock, 0, "release_switch 3.5.16"):
        assert "is held by release_switch 3.5.16" in wait_until_free(lock, 0)
    assert "" == wait_until_free(lock, 0)


def test_looking_makes_no_lock(tmp_path: Path) -> None:
    """A node that nobody ever changed is free, and stays as it is."""
    assert "" == wait_until_free(str(tmp_path / "demo.lock"), 0)
    assert [] == list(tmp_path.iterdir())
