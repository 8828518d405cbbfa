# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds a lock of other programs: package managers lock ranges of files (fcntl), which end with the process."""

from __future__ import annotations

import fcntl
import os
import struct

from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import named

_FLOCK = "hhqqi"  # struct flock: type, whence, start, length, pid


def holder(path: str) -> str:
    """Return who keeps us from locking a file, as `name (pid N)`; nothing where it is free, or not there. This locks nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _whence, _start, _length, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    if kind == fcntl.F_UNLCK:
        return ""
    names = dict(named([pid]))
    return f"{names[pid]} (pid {pid})" if pid in names else "a process that cannot be seen from here"
