# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages of any suite, found with the machine's own apt in a private root: nothing of the system is changed.

The mirror is the one that the machine's apt is configured with; the checksums come from the index that Debian signs. Works as an
ordinary user.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from nodewise import files
from nodewise.errors import MissingTool, Refused, SetupError
from nodewise.model import Artifact

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT = Path("/etc/apt")
MAX_AGE_S = 24 * 3600
JUST_NOW_S = 60
INSTEAD = "give nodewise_releases the artifacts by URL with their sha256 instead"
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}


def packages(suite: str, names: list[str], version: str, arch: str, cache: Path | None = None) -> list[Artifact]:
    """One artifact for each package of `suite` at the upstream `version`; the index is refreshed when it is older than a day.

    Raises `Refused` when the suite has another version, or when apt or the mirror cannot say.
    """
    arch = _ARCHES.get(arch, arch)
    root = (cache or cache_dir()) / "apt" / f"{suite}-{arch}"
    answer = root / f"{'+'.join(names)}={version}.json"
    if _fresh(answer):
        return msgspec.json.decode(answer.read_bytes(), type=list[Artifact])
    with _private(root):
        found = _look_up(root, suite, names, version, arch)
        files.write(answer, msgspec.json.encode(found))
    return found


def upstream(version: str) -> str:
    """The upstream part of a Debian version: 3.3.25 of `1:3.3.25+dfsg-6+b6`; a pre-release stays one (`3.6.0~rc1`)."""
    return re.sub(r"^\d+:|-[^-]*$", "", version).split("+")[0]


def cache_dir() -> Path:
    """NODEWISE_HOME, else `.cache` of the checkout, else the user's own."""
    checkout = Path(__file__).resolve().parents[3]
    own = checkout / ".cache" if (checkout / "galaxy.yml").exists() else Path.home() / ".cache" / "nodewise"
    return Path(os.environ.get("NODEWISE_HOME") or own)


@contextmanager
def _private(root: Path) -> Iterator[None]:
    try:
        for folder in ("lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        with (root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise SetupError(f"{error.filename} cannot be written by this user; remove {root} and try again") from None


def _look_up(root: Path, suite: str, names: list[str], version: str, arch: str) -> list[Artifact]:
    mirror = _mirror()
    stamp = root / "updated"
    trouble = "" if _fresh(stamp) else _update(root, suite, arch, mirror, stamp)
    index = _index(root, names, arch)
    if not _has_all(index, names, version) and not trouble and time.time() - stamp.stat().st_mtime > JUST_NOW_S:
        trouble = _update(root, suite, arch, mirror, stamp)
        index = _index(root, names, arch)
    # An index that could not be refreshed was still signed: a release that it has can be had, going back included.
    if not _has_all(index, names, version):
        raise Refused(trouble or _other_versions(index, suite, names, version))
    return [_artifact(mirror, _at(index, name, version)) for name in names]


def _other_versions(index: list[dict[str, str]], suite: str, names: list[str], version: str) -> str:
    has = ", ".join(f"{stanza['Package']} {stanza['Version']}" for stanza in index) or "nothing of it"
    return f"Debian {suite} has {has}; expected {' and '.join(names)} at {version}\n{INSTEAD}"


def _has_all(index: list[dict[str, str]], names: list[str], version: str) -> bool:
    return all(_at(index, name, version) for name in names)


def _at(index: list[dict[str, str]], name: str, version: str) -> dict[str, str]:
    """The package at that upstream version; apt lists the highest revision first. Empty when there is none."""
    return next((s for s in index if s["Package"] == name and upstream(s["Version"]) == version), {})


def _artifact(mirror: str, stanza: dict[str, str]) -> Artifact:
    return Artifact(
        url=mirror + quote(stanza["Filename"]),
        sha256=stanza["SHA256"],
        kind="deb",
        size=int(stanza["Size"]),
        package=f"{stanza['Package']}={stanza['Version']}",
    )


def _mirror() -> str:
    """The base URL of Debian's main archive, as this machine's apt is configured."""
    if not shutil.which("apt-get"):
        raise Refused(f"this release comes as Debian packages, and there is no apt on this machine\n{INSTEAD}")
    listing = _run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(CREATED_BY)|$(REPO_URI)"])
    for line in listing.stdout.splitlines():
        what, _, uri = line.rpartition("|")
        if what == "Debian|Debian|main|Packages" and uri.startswith(("http://", "https://")):
            return uri
    raise Refused(f"this machine's apt has no index of Debian's main archive (run `apt-get update` if it should have)\n{INSTEAD}")


def _update(root: Path, suite: str, arch: str, mirror: str, stamp: Path) -> str:
    """Refreshes the index; returns what went wrong, in two lines, or nothing."""
    if not KEYRING.exists():
        raise MissingTool(f"{KEYRING} is missing, so Debian's index cannot be trusted: apt-get install debian-archive-keyring")
    source = {"Types": "deb", "URIs": mirror, "Suites": suite, "Components": "main", "Architectures": arch, "Signed-By": KEYRING}
    (root / "nodewise.sources").write_text("".join(f"{key}: {value}\n" for key, value in source.items()))
    # Without the error mode apt-get reports a mirror that does not answer as a warning, and success.
    done = _run(["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any", *_options(root, arch)])
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["it did not say why"]
        return f"apt could not fetch the index of Debian {suite}: {said[0].removeprefix('E:').strip()}\n{INSTEAD}"
    stamp.touch()
    return ""


def _index(root: Path, names: list[str], arch: str) -> list[dict[str, str]]:
    shown = _run(["apt-cache", "show", *_options(root, arch), *names])
    stanzas = [dict(re.findall(r"^([\w-]+): (.*)$", text, re.MULTILINE)) for text in shown.stdout.split("\n\n") if text.strip()]
    return [stanza for stanza in stanzas if stanza.get("Architecture") in (arch, "all")]


def _options(root: Path, arch: str) -> list[str]:
    settings = {
        "Dir::State": root,
        "Dir::State::lists": root / "lists",
        "Dir::State::status": root / "status",
        "Dir::Cache": root / "cache",
        "Dir::Etc::sourcelist": root / "nodewise.sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferencesparts": "-",
        "Acquire::Languages": "none",
        "Acquire::Retries": 1,  # three, with growing pauses, are 12 s for a mirror that is down
        "APT::Architecture": arch,
        "APT::Architectures": arch,
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _fresh(file: Path) -> bool:
    """Younger than a day, and than the machine's choice of mirrors."""
    try:
        written = file.stat().st_mtime
    except FileNotFoundError:
        return False
    sources = [APT / "sources.list", APT / "sources.list.d", *(APT / "sources.list.d").glob("*")]
    chosen = max((source.stat().st_mtime for source in sources if source.exists()), default=0.0)
    return written > max(chosen, time.time() - MAX_AGE_S)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=180, env={**os.environ, "LC_ALL": "C"}, check=False)
    except subprocess.TimeoutExpired:
        raise Refused(f"{' '.join(command[:2])} did not end within 180 s\n{INSTEAD}") from None
