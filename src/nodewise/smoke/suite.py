# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A suite: a folder of executables, and what its suite.yml and the scripts themselves say of how they are run.

A script may say it in a comment near its top, `# smoke: tier=full timeout=5 expect=1 slow`; suite.yml has the last word.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from nodewise.errors import UsageError
from nodewise.smoke.declared import read
from nodewise.smoke.protocols import Protocol
from nodewise.text import nearest

Tier = Literal["core", "basic", "full", "stress"]
Where = Literal["each", "one", "versions", "controller"]
TIERS: tuple[Tier, ...] = ("core", "basic", "full", "stress")  # each takes in those before it
ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
HEADER = re.compile(r"^\s*(?:#|//|--)\s*smoke:\s*(.*)$", re.MULTILINE)
HEADER_BYTES = 4096
IGNORED = re.compile(r"\.|.*~$|__pycache__$")
DECLARED = "suite.yml"


class Script(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One script, and how it is run. `expect`: the exit codes that are a pass; 77 is a skip unless it is among them."""

    name: str
    tier: Tier = "core"
    slow: bool = False
    timeout: float = 60.0  # seconds
    protocol: Protocol = "auto"
    expect: list[int] = msgspec.field(default_factory=lambda: [0])
    retries: int = 0
    problem: str = ""  # why it cannot be run at all: it has failed then


class Suite(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A folder of scripts. `files` maps each file to its SHA-256, `digest` covers all of them."""

    name: str
    folder: str
    where: Where = "each"  # host of the cluster; one of them; one of each version that runs; the controller
    parallel: bool = False  # whether its scripts may run at once on a host
    serial: bool = False  # whether one host follows the other
    pinned: bool = False  # whether it is told when these are not the scripts of last time
    environment: dict[str, str] = {}
    variables: dict[str, str] = {}  # variable of the environment -> Ansible's, left out where that is not defined
    secrets: dict[str, str] = {}  # the same, from a vault, masked; it must be defined unless it ends in "?"
    keep: list[str] = []  # patterns of files
    output: int = 262144  # bytes kept of each stream
    gates: dict[str, Any] = {}  # besides those of gates.yml
    scripts: list[Script] = []
    files: dict[str, str] = {}
    digest: str = ""

    def chosen(self, tier: Tier, *, slow: bool = True) -> list[Script]:
        """The scripts of a tier and of those before it."""
        wanted = TIERS[: TIERS.index(tier) + 1]
        return [one for one in self.scripts if one.tier in wanted and (slow or not one.slow)]

    def packed(self) -> bytes:
        """All its files as a tar archive; links are followed."""
        made = io.BytesIO()
        scripts = {one.name for one in self.scripts}
        with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1, dereference=True) as archive:
            for path in _walked(Path(self.folder)):
                name = str(path.relative_to(self.folder))  # of data it stays what it is: a script opens it by that
                archive.add(path, readable(name) if readable(name) in scripts else name, recursive=False)
        return made.getvalue()


CHOICES: dict[str, tuple[str, ...]] = {"tier": TIERS, "where": get_args(Where), "protocol": get_args(Protocol)}
HOW = {name: CHOICES.get(name, ()) for name in Script.__struct_fields__ if name not in ("name", "problem")}  # of a script
OURS = ("name", "folder", "files", "digest")  # of a suite, and not for it to say
SETTINGS = {**{name: CHOICES.get(name, ()) for name in Suite.__struct_fields__ if name not in OURS}, **HOW}


def find(word: str, places: Iterable[Path]) -> Suite:
    """A suite by its name in one of some folders, or by the path of its own folder. Raises UsageError."""
    places = list(places)
    candidates = [Path(word)] if "/" in word else [place / word for place in places]
    folder = next((one for one in candidates if one.is_dir()), None)
    if folder is None:
        known = names(places)
        there, looked = ", ".join(known) or "none", ", ".join(str(place) for place in places)
        like = nearest(word, known)
        raise UsageError(f"no suite {word!r}{like}; there are: {there} (in {looked}). Name a folder of your own by a path with a /")
    return load(folder)


def shadowed(suite: Suite, places: Iterable[Path]) -> list[Path]:
    """The folders of other suites of its name, which are not run: places are looked through in their order."""
    there = [place / suite.name for place in places]
    return [
        one
        for one in there
        if one.is_dir() and one.resolve() != Path(suite.folder) and Path(suite.folder) in map(Path.resolve, there)
    ]


def names(places: Iterable[Path]) -> list[str]:
    """The suites in some folders, by name."""
    return sorted({one.name for place in places if place.is_dir() for one in place.iterdir() if one.is_dir() and not _ignored(one)})


def load(folder: Path) -> Suite:
    """Read a suite. Raises UsageError when it has nothing to run, or when its suite.yml cannot be read."""
    folder = folder.resolve()
    declared = read(folder / DECLARED, SETTINGS, HOW)
    said = declared.pop("scripts", None) or {}
    defaults = {key: declared.pop(key) for key in list(declared) if key in HOW}
    files = _files(folder)
    digest = hashlib.sha256("".join(f"{name}\0{value}\n" for name, value in sorted(files.items())).encode()).hexdigest()
    try:
        for name, own in {**said, "": {}}.items():  # what suite.yml says is refused, and not left to each script to fail by
            msgspec.convert({**defaults, **(own or {}), "name": name}, Script)
        found = {readable(path.name): _script(path, defaults, said.get(readable(path.name))) for path in _scripts(folder)}
        for name in sorted(said.keys() - found.keys()):
            found[name] = Script(name=name, problem=_absent(folder / name))
        scripts = [found[name] for name in sorted(found)]
        suite = msgspec.convert({**declared, "name": folder.name, "folder": str(folder), "files": files, "digest": digest}, Suite)
    except (msgspec.ValidationError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder / DECLARED} cannot be read: {error}") from None
    suite.scripts = scripts
    _refuse(suite)
    return suite


def _refuse(suite: Suite) -> None:
    if not suite.scripts:
        raise UsageError(f"{suite.folder} has no executables; expected scripts with a run bit (chmod +x) directly in it")
    wrong = [name for name in (*suite.environment, *suite.variables, *suite.secrets) if not ENVIRONMENT.match(name)]
    if wrong:
        raise UsageError(f"{suite.folder}/{DECLARED}: {', '.join(wrong)} is not a valid environment variable")


def readable(name: str) -> str:
    r"""A file's name as text: a byte of it that is no UTF-8 becomes \xe9, say."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _scripts(folder: Path) -> list[Path]:
    """What is meant to be run: executables, and files that say how they are run but have no run bit."""
    found = []
    for path in sorted(folder.iterdir()):
        broken = path.is_symlink() and not path.exists()
        meant = path.is_file() and (os.access(path, os.X_OK) or _head(path).startswith(b"#!"))
        if (broken or meant) and not _ignored(path) and path.name != DECLARED:
            found.append(path)
    return found


def _script(path: Path, defaults: dict[str, Any], said: dict[str, Any] | None) -> Script:
    name = readable(path.name)
    try:
        own = _header(_head(path))
        script = msgspec.convert({**defaults, **own, **(said or {}), "name": name}, Script, strict=False)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        return Script(name=name, problem=f"what is said of how it is run cannot be read: {error}")
    if not path.exists():
        script.problem = f"it is a link to {path.readlink()}, which is not there"
    elif not os.access(path, os.X_OK):
        script.problem = (
            f"it begins with #! and has no run bit: chmod +x {path}, or take its first line away if others only read it"
        )
    return script


def _header(head: bytes) -> dict[str, Any]:
    """What a script says of itself: words such as timeout=5, expect=0,1 and slow."""
    found = HEADER.search(head.decode("utf-8", "replace")) if head.startswith(b"#!") else None
    told: dict[str, Any] = {}
    for word in found[1].split() if found else ():
        key, given, value = word.partition("=")
        if key not in HOW:
            raise ValueError(f"{word}{nearest(key, HOW)} (in its comment smoke:); there are: {', '.join(HOW)}")
        told[key] = [int(code) for code in value.split(",")] if key == "expect" else value if given else True
    return told


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEADER_BYTES)
    except OSError:
        return b""


def _absent(path: Path) -> str:
    return f"{DECLARED} speaks of it, and it is {'no executable' if path.exists() else 'not there'}"


def _files(folder: Path) -> dict[str, str]:
    """Every file of the suite with its checksum, the run bit being part of it."""
    found = {}
    for path in _walked(folder):
        mode = b"x" if os.access(path, os.X_OK) else b"-"
        found[readable(str(path.relative_to(folder)))] = hashlib.sha256(mode + path.read_bytes()).hexdigest()
    return found


def _walked(folder: Path) -> Iterator[Path]:
    """The files of a suite, folder by folder."""
    for root, folders, inside in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not _ignored(Path(name)))
        yield from (path for name in sorted(inside) if not _ignored(path := Path(root) / name) and path.is_file())


def _ignored(path: Path) -> bool:
    return bool(IGNORED.match(path.name))
