# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wheels of Python's package index, resolved and fetched on the controller by pip, for the Python that the nodes have.

Nodes need no index: what they are to have is kept here and shipped to them. What was resolved once stays as it is, so that a
release is the same when a run is resumed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from nodewise import files
from nodewise.errors import Refused
from nodewise.model import Artifact
from nodewise.releases.debian import cache_dir
from nodewise.releases.offered import Nodes, begins
from nodewise.text import cut

PIP_S = 300
MAX_AGE_S = 24 * 3600
EPOCH = "315532800"  # what is built from sources is then the same file again
FEWEST = 5  # the oldest glibc 2.x that wheels name
INSTEAD = "give nodewise_releases its wheels by URL with their sha256, or run where pip reaches an index"
OPTIONS = ["--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "20"]


class Target(msgspec.Struct, frozen=True):
    """What runs the wheels: one Python for all nodes."""

    python: str
    machine: str
    libc: str  # of glibc; empty for another one

    @property
    def words(self) -> list[str]:
        """Of pip, so that it resolves for the nodes and not for the controller."""
        minor = int(self.libc.split(".")[1]) if self.libc.startswith("2.") else FEWEST - 1
        platforms = [f"manylinux_2_{number}_{self.machine}" for number in range(minor, FEWEST - 1, -1)]
        platforms += [f"{name}_{self.machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1") if platforms]
        words = [word for platform in [*platforms, f"linux_{self.machine}"] for word in ("--platform", platform)]
        return ["--only-binary=:all:", "--implementation", "cp", "--python-version", self.python, *words]


def target(nodes: Nodes) -> Target:
    """What all nodes have. Raises Refused where they differ, or where one does not say."""
    found = {name: (node.get("python"), node.get("machine")) for name, node in nodes.items()}
    if len(set(found.values())) != 1 or None in next(iter(found.values())):
        told = ", ".join(f"{name} {python or 'unknown'} on {machine}" for name, (python, machine) in sorted(found.items()))
        raise Refused(f"wheels need one Python on all nodes, and found is: {told or 'no node'}")
    python, machine = next(iter(found.values()))
    return Target(str(python), str(machine), min((node.get("libc") or "" for node in nodes.values()), key=_numbers))


def newest(requirement: str, prefix: str, nodes: Nodes) -> str:
    """The newest version of the index that begins with `prefix`, which may be a whole one."""
    name, about = _name(requirement), target(nodes)
    file = folder() / f"{name}-{about.python}-{about.machine}.versions.json"
    known = _kept(file, MAX_AGE_S, lambda: _versions(name, about))
    found = [version for version in known if begins(version, prefix)]
    if not found:
        raise Refused(f"the index has no {name} {prefix}; it has {', '.join(known[:8]) or 'none at all'}\n{INSTEAD}")
    return str(found[0])


def wheels(wanted: list[str], build: list[str], nodes: Nodes) -> list[Artifact]:
    """One artifact for each distribution, that of the first requirement first; all are in the cache afterwards."""
    about = target(nodes)
    key = hashlib.sha256(repr((wanted, build, about)).encode()).hexdigest()[:16]
    answer = folder() / f"{key}.json"
    found = msgspec.convert(_kept(answer, None, lambda: _resolved(wanted, build, about)), list[Artifact])
    if not all(map(cached, found)):
        answer.unlink()
        return wheels(wanted, build, nodes)
    return found


def cached(artifact: Artifact) -> Path | None:
    """The file of an artifact, when it is here and whole."""
    found = next((folder() / "files" / artifact.sha256).glob("*.whl"), None)
    return found if found and _digest(found) == artifact.sha256 else None


def _name(requirement: str) -> str:
    return re.split(r"[\[=<>~! ]", requirement, maxsplit=1)[0]


def folder() -> Path:
    """Where all of it is kept."""
    return cache_dir() / "pypi"


def _kept(file: Path, age: float | None, make: Callable[[], list[Any]]) -> list[Any]:
    """What a file has, when it is there and not older than `age` (None: however old); else what is made now, and kept."""
    old = list(msgspec.json.decode(file.read_bytes())) if file.exists() else []
    if old and (age is None or file.stat().st_mtime > time.time() - age):
        return old
    try:
        made = make()
    except Refused:
        if old:
            return old
        raise
    files.write(_made(file.parent) / file.name, msgspec.json.encode(made))
    return made


def _versions(name: str, about: Target) -> list[str]:
    said = _pip(["index", "versions", name, *about.words], f"{name}'s versions")
    found = next((line.partition(":")[2] for line in said.splitlines() if line.startswith("Available versions:")), "")
    return found.replace(",", " ").split()


def _resolved(wanted: list[str], build: list[str], about: Target) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="nodewise-pypi-") as scratch:
        words = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report=-", f"--target={scratch}/target"]
        words += [f"--find-links={_built(requirement)}" for requirement in build]
        report = json.loads(_pip([*words, *about.words, *wanted], ", ".join(wanted)))
        names = {one["metadata"]["name"].lower(): one for one in report["install"]}
        found = [names.pop(_name(wanted[0]).lower()), *(names[name] for name in sorted(names))]
        files = _downloaded([one["download_info"] for one in found], about, Path(scratch) / "files")
        return [_artifact(one["metadata"], one["download_info"]["url"], file) for one, file in zip(found, files, strict=True)]


def _built(requirement: str) -> Path:
    """A folder with the wheel of what the index has as sources only."""
    place = folder() / "built" / requirement
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix=".build-", dir=_made(place.parent)) as scratch:
            _pip(["wheel", "--no-deps", "--no-binary=:all:", f"--wheel-dir={scratch}/wheel", requirement], requirement)
            if impure := [file.name for file in Path(scratch, "wheel").iterdir() if not file.name.endswith("-none-any.whl")]:
                raise Refused(f"{impure[0]} was built for this machine alone, and nodes may be others\n{INSTEAD}")
            Path(scratch, "wheel").rename(place)
    return place


def _made(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place


def _downloaded(infos: list[dict[str, Any]], about: Target, target: Path) -> list[Path]:
    """The files, each held against the index's checksum by pip, which knows proxies and certificates."""
    words = ["download", "--no-deps", f"--dest={target}", *about.words]
    _pip([*words, *(_pinned(info) for info in infos)], "what was resolved")
    return [target / unquote(info["url"].split("#")[0].rsplit("/", 1)[-1]) for info in infos]


def _pinned(info: dict[str, Any]) -> str:
    """The file at its URL, by a name that pip takes from it."""
    url, checksum = info["url"], info["archive_info"].get("hash")
    return f"{url}#{checksum}" if checksum else url


def _artifact(metadata: dict[str, Any], url: str, file: Path) -> dict[str, Any]:
    """Keep a file in the cache. One that has no place on the network has none in the plan either: paths differ by controller."""
    sha256 = _digest(file)
    shutil.copy(file, _made(folder() / "files" / sha256))
    public = url if url.startswith(("http://", "https://")) else f"wheel:{file.name}"
    package = f"{metadata['name']}={metadata['version']}"
    return {"url": public, "sha256": sha256, "kind": "wheel", "size": file.stat().st_size, "package": package}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _pip(words: list[str], what: str) -> str:
    """What pip prints; Refused with what it said was wrong."""
    command = [sys.executable, "-m", "pip", words[0], *OPTIONS, *words[1:]]
    try:
        env = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_S, env=env, check=False)
    except subprocess.TimeoutExpired:
        raise Refused(f"pip did not end within {PIP_S} s over {what}\n{INSTEAD}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()[-1:]
        said = ["its index did not answer"] if "connection broken" in done.stderr else said
        raise Refused(f"pip could not have {what}: {cut(' '.join(said), 300) or f'exit code {done.returncode}'}\n{INSTEAD}")
    return done.stdout
