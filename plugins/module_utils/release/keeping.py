# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs, for going back to it: it lies among the releases, whole, or is kept aside from where the link leads to."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import PackageError
from ansible_collections.nodewise.cluster.plugins.module_utils.release.payload import Payload
from ansible_collections.nodewise.cluster.plugins.module_utils.release.staging import (
    TRY,
    NotToBeHad,
    appear,
    sync_all,
    write_manifest,
)
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import ReleaseError, Store

LARGEST = 1 << 30  # bytes of a folder that is kept: a link to all of /usr is none of one program
AGAIN = "have its files as they were (or the link lead to a folder that has bin/), then run the same command again"


def keep(store: Store, version: str, min_free: float, check: bool = False) -> str:
    """Have the version that runs among the releases, whole, so that it can be put back; call it under the node's lock.

    Every file is hashed, and the package manager is asked whether its packages, if it has any, could be installed. Returns where it
    was kept aside from, or nothing when it was staged already. Raises NotToBeHad when it could not be put back.
    """
    damage = store.damage(version, hashed=True)
    found = ""
    if damage and not os.path.isdir(store.path(version)):
        found = _aside(store, version, min_free, check)
    elif damage:
        raise NotToBeHad(f"{version} runs and could not be put back: it {damage}; {AGAIN}")
    try:
        if not check:
            Payload(store, version).vet()
    except PackageError as error:
        raise NotToBeHad(f"{version} runs and could not be put back: {error}") from None
    return found


def _aside(store: Store, version: str, min_free: float, check: bool) -> str:
    place = os.path.realpath(store.link)
    names = _programs(place) if os.path.islink(store.link) else []
    if not names:
        raise NotToBeHad(f"{version} runs and could not be put back: {store.link} leads to no folder with bin/; {AGAIN}")
    size = sum(os.lstat(os.path.join(parent, name)).st_size for parent, _folders, files in os.walk(place) for name in files)
    if size > LARGEST:
        raise NotToBeHad(f"{version} runs and could not be put back: {place} has {size >> 20} MiB, too much to be kept; {AGAIN}")
    if check:
        return place
    os.makedirs(store.releases, mode=0o755, exist_ok=True)
    free = shutil.disk_usage(store.releases).free
    if free < size + min_free:
        raise ReleaseError(f"{store.releases} has {free >> 20} MiB free, expected {int(size + min_free) >> 20} MiB to keep {place}")
    folder = tempfile.mkdtemp(prefix=TRY, dir=store.releases)
    try:
        os.chmod(folder, 0o755)  # noqa: S103 - mkdtemp is for its owner only; the service's user reads this
        shutil.copytree(place, os.path.join(folder, "files"), symlinks=True)
        wanted: dict[str, Any] = {"version": version, "artifacts": [], "binaries": {name: f"bin/{name}" for name in names}}
        files = [os.path.join(parent, name) for parent, _folders, some in os.walk(os.path.join(folder, "files")) for name in some]
        write_manifest(folder, wanted, {}, [file for file in files if os.path.isfile(file) and not os.path.islink(file)])
        sync_all(folder)
        appear(folder, store.path(version))
    except OSError as error:
        raise ReleaseError(f"{error.filename or place}: {error.strerror or error}; {version} was not kept aside") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return place


def _programs(place: str) -> list[str]:
    """The names of the programs in a folder's bin/, that stay there when the folder is copied."""
    folder = os.path.join(place, "bin")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [
        name
        for name in names
        if os.path.realpath(os.path.join(folder, name)).startswith(place + "/") and os.path.isfile(os.path.join(folder, name))
    ]
