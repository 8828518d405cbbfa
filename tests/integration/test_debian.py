"""Debian packages through the machine's own apt and its mirror."""

from __future__ import annotations

import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodewise.errors import Refused
from nodewise.releases import debian

ETCD = ["etcd-server", "etcd-client"]


def test_exact_and_signed() -> None:
    """A release of Debian's comes with exact versions, sizes and checksums, and the second answer needs no apt."""
    artifacts = debian.packages("trixie", ETCD, "3.5.16", "x86_64")
    assert ETCD == [artifact.package.split("=")[0] for artifact in artifacts if artifact.package]
    assert all(re.fullmatch("[0-9a-f]{64}", artifact.sha256) and artifact.size for artifact in artifacts)
    began = time.monotonic()
    assert artifacts == debian.packages("trixie", ETCD, "3.5.16", "amd64")
    assert time.monotonic() - began < 0.5


def test_two_at_once(tmp_path: Path) -> None:
    """Two that begin with nothing at the same time get the same answer."""
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: debian.packages("bookworm", ETCD, "3.4.23", "amd64", tmp_path), range(2))
    assert one == other
    assert len(ETCD) == len(one)


def test_version_that_the_suite_has_not() -> None:
    """Another version in the suite is refused, with what the suite has and what to do instead."""
    has, expected = r"Debian trixie has etcd-server 3\.5\.16\S* .*", r"expected etcd-server and etcd-client at 3\.5\.99\n"
    with pytest.raises(Refused, match=f"{has}; {expected}"):
        debian.packages("trixie", ETCD, "3.5.99", "amd64")


def test_old_index_and_no_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a day has passed and the mirror does not answer, what the signed index has can be had, and nothing else."""
    expected = debian.packages("trixie", ETCD, "3.5.16", "amd64")
    copy = tmp_path / "apt/trixie-amd64"
    shutil.copytree(debian.cache_dir() / "apt/trixie-amd64", copy)
    for file in (copy / "updated", *copy.glob("*.json")):
        os.utime(file, (0, 0))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert expected == debian.packages("trixie", ETCD, "3.5.16", "amd64", tmp_path)
    with pytest.raises(Refused, match=r"apt could not fetch the index of Debian trixie: .*\ngive nodewise_releases"):
        debian.packages("trixie", ETCD, "3.5.99", "amd64", tmp_path)


def test_suite_that_is_none(tmp_path: Path) -> None:
    """A suite that the mirror does not have is refused in apt's words."""
    with pytest.raises(Refused, match="apt could not fetch the index of Debian nosuchsuite"):
        debian.packages("nosuchsuite", ETCD, "3.5.16", "amd64", tmp_path)


def test_machine_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without apt the answer is to give the release by URL."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="there is no apt on this machine\ngive nodewise_releases"):
        debian.packages("trixie", ETCD, "3.5.16", "amd64", tmp_path)
