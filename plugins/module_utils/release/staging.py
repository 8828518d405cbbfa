# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Staging a release: fetch, verify, unpack beside what runs, and let it appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import sync
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import PYTHON
from ansible_collections.nodewise.cluster.plugins.module_utils.release import image
from ansible_collections.nodewise.cluster.plugins.module_utils.release.fetch import FetchError, fetch, name_of
from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import PackageError, run
from ansible_collections.nodewise.cluster.plugins.module_utils.release.packages import Unavailable, fetch_all
from ansible_collections.nodewise.cluster.plugins.module_utils.release.payload import Payload
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import MANIFEST, ReleaseError, Store, note
from ansible_collections.nodewise.cluster.plugins.module_utils.release.unpack import UnpackError, unpack

TRY = ".stage-"  # begins the folders of a try, and of what a new release took the place of
UNPACKED = 5  # an artifact and what comes out of it take about so many times its size
COMPILE_S = 120


class NotToBeHad(ReleaseError):
    """What a release consists of cannot be had on this node."""


def stage(store: Store, wanted: dict[str, Any], limits: dict[str, float], check: bool = False) -> dict[str, Any]:
    """Stage `wanted` (version, artifacts, binaries); call it under the node's lock.

    `limits` are `deadline` in seconds and `min_free` in bytes, which stay free. Returns changed, path, bytes (fetched), binaries
    (name: sha256), seconds and says, why it was or would be staged; and lacks, whether it was not, as `wanted` has `fetch` false.
    ReleaseError when nothing was staged.
    """
    began = time.monotonic()
    place = store.path(wanted["version"])
    _check_names(wanted)
    why = reason(store, wanted)
    fetches = bool(why) and wanted.get("fetch", True)
    lacks = bool(why) and not fetches
    result: dict[str, Any] = {"changed": fetches, "path": place, "bytes": 0, "binaries": {}, "says": why, "lacks": lacks}
    if fetches and not check:
        result["bytes"] = _stage(store, wanted, limits, began + limits["deadline"])
    if not check:
        sweep(store)
        if not why:
            _vet(store, wanted["version"])
            for artifact in wanted["artifacts"]:
                if artifact["kind"] == "image":  # podman's storage may have been pruned since
                    image.pull(artifact["url"][len(image.TRANSPORT) :], began + limits["deadline"])
    manifest = store.manifest(wanted["version"]) or {}
    result["binaries"] = {name: entry["sha256"] for name, entry in manifest.get("binaries", {}).items()}
    result["packages"] = {name: entry["version"] for name, entry in manifest.get("packages", {}).items()}
    result.update(staged=bool(manifest), seconds=round(time.monotonic() - began, 3))
    return result


def reason(store: Store, wanted: dict[str, Any]) -> str:
    """Return why the version has to be staged, or nothing; ReleaseError when it would have to be and is in use."""
    version = wanted["version"]
    manifest = store.manifest(version)
    why = store.damage(version, hashed=True)
    if why and not wanted["artifacts"]:
        raise NotToBeHad(f"{version} {why}, and is no longer offered; nothing was staged: say in nodewise_releases where to get it")
    if not why and manifest and wanted["artifacts"] and not _same(manifest, wanted):
        why = "was staged from other artifacts"
    runs_there = not all(artifact["kind"] == "package" for artifact in wanted["artifacts"])
    user = store.used_by(version) if why and runs_there and os.path.isdir(store.path(version)) else ""
    if user:
        raise ReleaseError(
            f"{version} {why}, and {user} uses it; nothing was staged: "
            "put the node on another version first, or give the artifacts that it was staged from"
        )
    return why


def sweep(store: Store) -> None:
    """Remove what tries that were killed have left; the lock says that none of them is still at it."""
    for name in os.listdir(store.releases) if os.path.isdir(store.releases) else []:
        if name.startswith(TRY):
            shutil.rmtree(os.path.join(store.releases, name), ignore_errors=True)


def _identity(wanted: dict[str, Any]) -> dict[str, Any]:
    """What makes two releases the same: not where they come from, but what they are."""
    return {"artifacts": sorted(artifact["sha256"] for artifact in wanted["artifacts"]), "binaries": wanted["binaries"]}


def _same(manifest: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return bool(manifest["wanted"] == _identity(_with_sums(wanted, manifest.get("packages", {}))))


def _with_sums(wanted: dict[str, Any], packages: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A package whose checksum nobody knew is the one that has its name and exact version."""
    sums = {f"{name}={entry['version']}": entry["sha256"] for name, entry in packages.items()}
    known = [{**one, "sha256": one["sha256"] or sums.get(one.get("package") or "", "")} for one in wanted["artifacts"]]
    return {**wanted, "artifacts": known}


def _vet(store: Store, version: str) -> None:
    try:
        Payload(store, version).vet()
    except PackageError as error:
        raise ReleaseError(str(error)) from None


def _check_names(wanted: dict[str, Any]) -> None:
    for name, path in wanted["binaries"].items():
        if "/" in name or name in ("", ".", "..") or os.path.isabs(path):
            raise ReleaseError(f"binaries: {name}: {path}: expected a program's plain name and a path inside the artifacts")


def _stage(store: Store, wanted: dict[str, Any], limits: dict[str, float], until: float) -> int:
    os.makedirs(store.releases, mode=0o755, exist_ok=True)
    sweep(store)
    _check_space(store, wanted, limits["min_free"])
    folder = tempfile.mkdtemp(prefix=TRY, dir=store.releases)
    try:
        os.chmod(folder, 0o755)  # noqa: S103 - mkdtemp is for its owner only; the service's user reads this
        fetched = _fill(folder, wanted, until)
        appear(folder, store.path(wanted["version"]))
    except Unavailable as error:
        raise NotToBeHad(str(error)) from None
    except (FetchError, UnpackError, PackageError) as error:
        raise ReleaseError(str(error)) from None
    except OSError as error:
        raise ReleaseError(f"{error.filename or folder}: {error.strerror or error}; nothing was staged") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return fetched


def _check_space(store: Store, wanted: dict[str, Any], min_free: float) -> None:
    free = shutil.disk_usage(store.releases).free
    needed = UNPACKED * sum(artifact.get("size") or 0 for artifact in wanted["artifacts"]) + min_free
    if free < needed:
        raise ReleaseError(
            f"{store.releases} has {free >> 20} MiB free, expected {int(needed) >> 20} MiB for {wanted['version']} and what is "
            "to stay free; nothing was staged: make room"
        )


def _fill(folder: str, wanted: dict[str, Any], until: float) -> int:
    files = os.path.join(folder, "files")
    of_kind: dict[str, list[dict[str, Any]]] = {"package": []}
    os.mkdir(files)
    for artifact in wanted["artifacts"]:
        of_kind.setdefault(artifact["kind"], []).append(artifact)
    whole = of_kind.pop("package")
    for artifact in of_kind.pop("image", []):
        image.stage(artifact["url"], files, until)
    fetched = _unpack_all(folder, [artifact for some in of_kind.values() for artifact in some], until)
    packages = fetch_all(whole, files, until) if whole else {}
    kept = [os.path.join(files, entry["file"]) for entry in packages.values()]
    fetched += sum(os.path.getsize(file) for file in kept)
    if "wheel" in of_kind:
        kept += [os.path.join(parent, name) for parent, _folders, names in os.walk(files) for name in names]
        _compile(files)
    write_manifest(folder, _with_sums(wanted, packages), packages, kept)
    sync_all(folder)
    return fetched


def _compile(files: str) -> None:
    """Python's own cache, which the service's user could not write; what cannot be compiled is not run either."""
    run([PYTHON, "-m", "compileall", "-q", files], COMPILE_S)


def _unpack_all(folder: str, artifacts: list[dict[str, Any]], until: float) -> int:
    """All are verified before the first is unpacked."""
    fetched, downloads = 0, [(artifact, os.path.join(folder, str(number))) for number, artifact in enumerate(artifacts)]
    for artifact, download in downloads:
        fetched += fetch(artifact["url"], download, artifact["sha256"], until)
    for artifact, download in downloads:
        try:
            unpack(download, artifact["kind"], os.path.join(folder, "files"))
        except UnpackError as error:
            raise UnpackError(f"{name_of(artifact['url'])} {error}; nothing was staged") from None
        os.unlink(download)
    return fetched


def write_manifest(folder: str, wanted: dict[str, Any], packages: dict[str, dict[str, Any]], kept: list[str]) -> None:
    """Link the programs into bin/, and note all that is verified before the release is used."""
    manifest = {
        "version": wanted["version"],
        "artifacts": [{"name": _told(artifact), "sha256": artifact["sha256"]} for artifact in wanted["artifacts"]],
        "binaries": _link_binaries(folder, wanted["binaries"]),
        "packages": packages,
        "kept": {os.path.relpath(file, folder): note(file) for file in kept},
        "wanted": _identity(wanted),
    }
    with open(os.path.join(folder, MANIFEST), "w", encoding="utf-8") as stream:
        json.dump(manifest, stream, indent=1)


def _told(artifact: dict[str, Any]) -> str:
    return artifact.get("package") or name_of(artifact["url"])


def _link_binaries(folder: str, binaries: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Links, not copies: programs look for what belongs to them beside where they really lie."""
    os.mkdir(os.path.join(folder, "bin"))
    linked = {}
    for name, path in binaries.items():
        file = os.path.realpath(os.path.join(folder, "files", path))
        if not (file.startswith(os.path.realpath(folder) + "/") and os.path.isfile(file)):
            raise UnpackError(f"binaries: {name}: {path} is not in the artifacts; nothing was staged")
        os.chmod(file, 0o755)  # noqa: S103 - a program
        os.symlink(os.path.join("..", "files", path), os.path.join(folder, "bin", name))
        linked[name] = {"path": path, **note(file)}
    return linked


def sync_all(folder: str) -> None:
    """Have the disk keep a folder and all that is in it."""
    for parent, _folders, names in os.walk(folder):
        for path in [parent, *(os.path.join(parent, name) for name in names)]:
            if not os.path.islink(path):
                sync(path)


def appear(folder: str, place: str) -> None:
    """One rename when the place is free; else two, between which a crash leaves the version unstaged, never half of it."""
    if os.path.isdir(place):
        os.rename(place, folder + ".old")
    os.rename(folder, place)
    sync(os.path.dirname(place))
