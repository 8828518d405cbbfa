"""Going back to a backup: which files are one, who may be restored from it, and what is said to be lost."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodewise.errors import Refused
from nodewise.record.run import Run
from nodewise.upgrade import backups

from .observed import observation

CONTENT = b"a snapshot"
ABOUT = {"cluster": "demo", "members": ["n1", "n2", "n3"], "groups": {"demo": ["n1", "n2", "n3"]}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The backup of n2 in a run's folder, taken when n1 ran a newer version already."""
    run = Run.create(tmp_path / "run", kind="upgrade", cluster="demo")
    run.observed(observation(n1={"version": "3.3.25"}), [])
    run.observed(observation(n1={"version": "3.5.16"}), [])
    made = tmp_path / "run/backup/n2.db"
    made.parent.mkdir()
    made.write_bytes(CONTENT)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    run.note("backup", backup={"copy": str(made), "sha256": sha256, "size": len(CONTENT), "revision": 4711})
    run.observed(observation(n1={"version": "3.2.1"}), [])
    return made


def node(**fields: Any) -> dict[str, Any]:
    """What a node says of itself that is fit to be restored."""
    return {"state": {}, "errors": [], "clock": 10**18, "ahead_s": 0.0, "data": {"free_bytes": 1 << 30}, **fields}


def test_a_backup_is_what_the_journal_says(file: Path) -> None:
    """Its version is the lowest that ran just before it was taken: a later one reads what that wrote, and not the reverse."""
    found = backups.find(file)
    assert ("demo", "n2", 4711, "3.4.23") == (found.cluster, found.node, found.revision, found.version)
    assert ["n1", "n2", "n3"] == backups.group_of(found, ABOUT)


def test_a_backup_that_says_more_of_itself(file: Path) -> None:
    """Its own version counts before that of members, which may be a component's; so do its size on a node and what it counts."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    told = {"copy": str(file), "sha256": sha256, "size": 10, "revision": 4711}
    Run(file.parent.parent).note("backup", backup={**told, "version": "15.18", "unpacked": 1 << 30, "unit": "bytes of the log"})
    found = backups.find(file)
    assert ("15.18", 1 << 30) == (found.version, found.size)
    now = msgspec.to_builtins(observation({"fingerprint_at": 5012}))
    assert ": bytes of the log 4712 to 5012, 301 of them" in backups.lost(found, now, ["n1", "n2", "n3"])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("n2.db", b"another", "it is not the backup"),
        ("n3.db", CONTENT, "tells of no backup n3.db"),
        ("../../n2.db", CONTENT, "not in the folder of a run"),
        ("n9.db", None, "is no file"),
    ],
)
def test_what_is_no_backup_is_refused(file: Path, name: str, content: bytes | None, says: str) -> None:
    """A file that was changed, is not told of, lies elsewhere or is not there; each with nothing touched."""
    other = (file.parent / name).resolve()
    if content is not None:
        other.write_bytes(content)
    with pytest.raises(Refused, match=says) as refused:
        backups.find(other)
    assert "othing was touched" in str(refused.value)


@pytest.mark.parametrize(
    "about", [{**ABOUT, "cluster": "other"}, {"cluster": "demo", "members": ["n1"], "groups": {"demo": ["n1"]}}]
)
def test_a_backup_of_others_is_refused(file: Path, about: dict[str, Any]) -> None:
    """Of another cluster, or of a node that is none of its members."""
    with pytest.raises(Refused, match="is of n2 in demo, and not of"):
        backups.group_of(backups.find(file), about)


def test_one_quorum_group_alone_is_restored(file: Path) -> None:
    """The members are those of the group that the backup was taken of."""
    assert ["n2", "n3"] == backups.group_of(backups.find(file), {**ABOUT, "groups": {"a": ["n1"], "b": ["n3", "n2"]}})


@pytest.mark.parametrize(("to", "fits"), [("3.3.25", False), ("3.4.1", True), ("3.4.23", True), ("3.5.16", True), ("3.10.1", True)])
def test_an_older_minor_cannot_read_it(file: Path, to: str, fits: bool) -> None:
    """The minor that the backup was made with, or a later one."""
    found = backups.find(file)
    if fits:
        backups.refuse_older(found, to)
    else:
        with pytest.raises(Refused, match=r"3\.3\.25 cannot read what 3\.4\.23 wrote"):
            backups.refuse_older(found, to)


LEASE = {"run": "r1", "who": "me@here", "expires": 10**9 + 5}


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, "n2 did not answer"),
        (node(state=None, errors=["state: unreadable"]), "n2 does not say who holds it"),
        (node(state={"lease": LEASE}), "run r1 of me@here holds n2 until 2001-09-09"),
        (node(data={"free_bytes": 100 << 20}), "n2 has 100 MiB free for its data, expected 128 MiB"),
        (node(data=None), "n2 does not say how much is free"),
    ],
)
def test_a_node_that_is_not_ready(file: Path, told: dict[str, Any] | None, says: str) -> None:
    """One that is silent, held by somebody, or full: all members are restored, or none."""
    with pytest.raises(Refused, match=says):
        backups.refuse_unready(backups.find(file), {"n1": node(), "n2": told})


def test_a_lease_that_has_expired_holds_nothing(file: Path) -> None:
    """By the node's own clock."""
    backups.refuse_unready(backups.find(file), {"n1": node(state={"lease": {**LEASE, "expires": 10**9 - 5}})})


@pytest.mark.parametrize(
    ("cluster", "members", "says"),
    [
        ({"fingerprint_at": 5012}, {}, ": revisions 4712 to 5012, 301 of them"),
        ({"fingerprint_at": 5012}, {"n1": {"lag": 3}}, ", 301 of them or more, as not every member could be read"),
        ({"fingerprint_at": 5012}, {"n1": {"lag": None, "fingerprint": None}}, ", 301 of them or more"),
        ({"fingerprint_at": 5012}, {"n1": None}, ", 301 of them or more"),
        ({"fingerprint_at": 4711}, {}, "the cluster has revisions up to 4711 and the backup up to 4711, so nothing that is known"),
        ({"fingerprint_at": None}, {}, ", revisions after 4711; the cluster cannot be read, so how much is unknown"),
    ],
)
def test_what_is_lost(file: Path, cluster: dict[str, Any], members: dict[str, Any], says: str) -> None:
    """The revisions since the backup as far as they are known, and never fewer than there may be without saying so."""
    now = msgspec.to_builtins(observation(cluster, **members))
    text = backups.lost(backups.find(file), now, ["n1", "n2", "n3"])
    assert text.startswith("everything written since 20")
    assert says in text


def test_nothing_observed_is_unknown(file: Path) -> None:
    """Without an observation nothing is claimed."""
    assert "how much is unknown" in backups.lost(backups.find(file), {}, ["n1"])
    others = msgspec.to_builtins(observation({"fingerprint_at": 5012}))
    assert "how much is unknown" in backups.lost(backups.find(file), others, ["n7"])
