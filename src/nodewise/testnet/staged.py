# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases that a testnet staged, for the next one of the same kind: its nodes need not fetch and unpack them again.

They are only put in their place. The playbook verifies them as it does on any host, by the checksums that were noted when they were
staged, and stages what is not right anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from nodewise.releases.rules import load_rules
from nodewise.testnet import image, roles, ssh
from nodewise.testnet.home import home
from nodewise.testnet.state import Node, Testnet

MOST = 1 << 30  # bytes of all archives; the ones that were not used for longest go first
SECONDS = 120
WHICH = "sudo cat /opt/nodewise/*/releases/*/release.json 2>/dev/null | sha256sum | cut -c 1-16"
PACK = "cd / && sudo tar --create --format=posix opt/nodewise/*/releases/[!.]*"  # posix has the times of files in full


def put(testnet: Testnet) -> None:
    """Put what is kept in its place, on all nodes at once. A node on which that fails stages it itself."""
    for archive in _kept(testnet):
        with suppress(FileNotFoundError):
            os.utime(archive)
            with ThreadPoolExecutor() as pool:
                list(pool.map(partial(_unpack, testnet, archive), testnet.nodes))


def keep(testnet: Testnet) -> None:
    """Keep what the first node has staged, unless it is kept. What cannot be kept is staged the next time."""
    if _own(testnet):
        return
    with suppress(OSError, subprocess.TimeoutExpired):
        which = ssh.run(testnet, testnet.nodes[0], WHICH, SECONDS).stdout.strip()
        there = {archive.name: archive for archive in _kept(testnet)}
        name = f"{_key(testnet)}-{which}.tar"
        if which and name not in there and _pack(testnet, _folder() / name):
            for archive in there.values():
                archive.unlink(missing_ok=True)
            _prune()


def _own(testnet: Testnet) -> bool:
    """Whether its artifacts are the user's own, which may be others the next time."""
    described = testnet.system and load_rules(roles.find(testnet.system)).described_by
    return not testnet.system or bool(described) or "nodewise_releases" in testnet.variables


def _folder() -> Path:
    return home() / "staged"


def _key(testnet: Testnet) -> str:
    about = [image.tag(), testnet.system, testnet.version, testnet.variables]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _kept(testnet: Testnet) -> list[Path]:
    return list(_folder().glob(f"{_key(testnet)}-*.tar"))


def _unpack(testnet: Testnet, archive: Path, node: Node) -> None:
    with archive.open("rb") as stream, suppress(subprocess.TimeoutExpired):
        words = ssh.command(testnet, node, ["sudo", "tar", "--extract", "--directory=/"])
        subprocess.run(words, stdin=stream, capture_output=True, timeout=SECONDS, check=False)


def _pack(testnet: Testnet, target: Path) -> bool:
    """Whether the first node's releases are in the file, which appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as stream:
        try:
            words = ssh.command(testnet, testnet.nodes[0], [PACK])
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False
            )
            if done.returncode == 0:
                Path(stream.name).rename(target)
            return done.returncode == 0
        finally:
            Path(stream.name).unlink(missing_ok=True)


def _prune() -> None:
    for archive in _beyond(MOST):
        archive.unlink(missing_ok=True)


def _beyond(most: int) -> Iterator[Path]:
    """The archives that are too many, the last used ones being kept."""
    found = [(path.stat(), path) for path in _folder().glob("*.tar")]
    left = most
    for stat, path in sorted(found, key=lambda one: one[0].st_mtime, reverse=True):
        left -= stat.st_size
        if left < 0:
            yield path
