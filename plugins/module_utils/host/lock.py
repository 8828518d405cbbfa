# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change at a time on a node: a flock that the kernel gives back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import Iterator

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure

FOLDER = "/run/nodewise"
INTERVAL = 0.05


class LockError(Failure):
    """Somebody else holds the lock; one line that says who."""


def path_of(root: str) -> str:
    """Return the lock of the system that lives in `root`: /run/nodewise/etcd.lock for /opt/nodewise/etcd."""
    return os.path.join(FOLDER, os.path.basename(os.path.normpath(root)) + ".lock")


@contextmanager
def held(path: str, timeout: float, what: str) -> Iterator[None]:
    """Hold the lock while `what` (a word for whoever else comes) is done; LockError after `timeout` seconds."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait(descriptor, path, time.monotonic() + timeout)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{what}, pid {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def wait_until_free(path: str, timeout: float) -> str:
    """Return who still holds the lock after `timeout` seconds, or nothing. No file is made or changed.

    A change goes on by itself when its controller dies: who looks at the node before it has ended sees half of it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        _wait(descriptor, path, time.monotonic() + timeout)
    except LockError as error:
        return str(error)
    finally:
        os.close(descriptor)
    return ""


def _wait(descriptor: int, path: str, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "somebody"
                raise LockError(f"{path} is held by {holder}; nothing was changed: wait for it to end and try again") from None
            time.sleep(INTERVAL)
        else:
            return
