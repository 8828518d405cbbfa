# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things are: the checkout, what the controller keeps of its testnets, and locks."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodewise.errors import SetupError


def checkout() -> Path:
    """The folder with the playbooks and roles."""
    return Path(__file__).resolve().parents[3]


def home() -> Path:
    """Where state is kept: NODEWISE_HOME, else .cache in the checkout."""
    return Path(os.environ.get("NODEWISE_HOME") or checkout() / ".cache").absolute()


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
                raise SetupError(f"another command is at work on {what} just now; wait for it to end, then try again")
            time.sleep(0.1)
        yield


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
