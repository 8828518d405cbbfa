# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things are: the checkout, what the controller keeps of its testnets, and locks."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodewise import __version__
from nodewise.errors import SetupError, UsageError

SOURCES = Path(__file__).resolve().parents[3]  # the checkout, unless this was installed from a wheel


def checkout() -> Path:
    """The folder with the playbooks, roles and scenarios: the checkout that this file lies in, else the installed collection.

    The collection has all that the checkout has. Raises UsageError where there is neither.
    """
    found = next((folder for folder in (SOURCES, *collections()) if (folder / "playbooks").is_dir()), None)
    if found is None:
        raise UsageError(
            "testnets and rehearsals need the playbooks, and the collection nodewise.cluster is not installed here.\n"
            f"Install it, as the README says: ansible-galaxy collection install nodewise-cluster-{__version__}.tar.gz"
        )
    return found


def collections() -> Iterator[Path]:
    """Where the collection may be installed: where the environment says, in its usual places, and where Python looks."""
    named = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "").split(":")
    usual = ["~/.ansible/collections", "/usr/share/ansible/collections"]
    for one in filter(None, (*named, *usual, *sys.path)):
        yield Path(one).expanduser().absolute() / "ansible_collections/nodewise/cluster"


def home() -> Path:
    """Where state is kept: NODEWISE_HOME, else .cache in the checkout, else nodewise in the user's own cache."""
    named = os.environ.get("NODEWISE_HOME")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodewise"
    return Path(named).absolute() if named else SOURCES / ".cache" if (SOURCES / "playbooks").is_dir() else cache


def state_folder(name: str) -> Path:
    """The state folder of a testnet, there or not."""
    return home() / "testnets" / name


@contextmanager
def locked(what: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock of a testnet or of an image, waiting up to `wait` seconds. The kernel frees it when its holder dies."""
    path = home() / "locks" / what
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    with path.open("a") as file:
        while not _lock(file.fileno()):
            if time.monotonic() >= deadline:
                raise SetupError(f"another command is working on {what}; wait for it to end, then try again")
            time.sleep(0.1)
        yield


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
