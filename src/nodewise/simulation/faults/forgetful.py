# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node, by itself: a folder that loses what was never synced when the node goes off.

python3 forgetful.py LIVE DISK mounts itself over DISK. Whoever uses the folder works in LIVE, a copy of it in memory; what is
written reaches DISK when its file is synced. Names, modes and sizes reach it at once, as a journal of a file system has them first.
The attribute user.nodewise.unsynced of the folder says how many bytes would be lost now.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from typing import Any

UNSYNCED = "user.nodewise.unsynced"
STAT = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
TIMES = ("st_atime", "st_mtime", "st_ctime")
FREE = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_namemax")


class Forgetful:
    """A folder in memory, whose files reach another folder when they are synced; its methods are fuse(4)'s operations."""

    use_ns = True  # times are whole nanoseconds

    def __init__(self, live: str, disk: str, who: Callable[[], tuple[int, int, int]]) -> None:
        """DISK is reached below its own mount, by a descriptor from before. `who`: user, group and process that asked."""
        self._live, self._disk, self._who = live, f"/proc/self/fd/{os.open(disk, os.O_RDONLY)}", who
        self._unsynced: dict[int, list[tuple[int, int]]] = {}  # offset and length of what was written, by inode in LIVE

    def __call__(self, operation: str, *args: Any) -> Any:
        return getattr(self, operation)(*args)

    def _both(self, change: Callable[..., object], *paths: str) -> None:
        for root in (self._live, self._disk):
            change(*(root + path for path in paths))

    def _made(self, make: Callable[[str], object], path: str) -> None:
        """Whoever asked owns it, and not who does it for them."""
        uid, gid, _ = self._who()
        self._both(make, path)
        self._both(lambda at: os.chown(at, uid, gid, follow_symlinks=False), path)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._live + path)
        return {name: getattr(found, name) for name in STAT} | {name: getattr(found, f"{name}_ns") for name in TIMES}

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        if name != UNSYNCED:
            raise OSError(errno.ENODATA, name)
        return str(sum(length for written in self._unsynced.values() for _, length in written)).encode()

    def listxattr(self, path: str) -> list[str]:
        return []

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._live + path)]

    def readlink(self, path: str) -> str:
        return os.readlink(self._live + path)

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._live + path)
        return {name: getattr(found, name) for name in FREE}

    def chmod(self, path: str, mode: int) -> None:
        self._both(lambda at: os.chmod(at, mode), path)

    def chown(self, path: str, uid: int, gid: int) -> None:
        self._both(lambda at: os.chown(at, uid, gid, follow_symlinks=False), path)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        given = times or (time.time_ns(), time.time_ns())
        self._both(lambda at: os.utime(at, ns=given, follow_symlinks=False), path)

    def mkdir(self, path: str, mode: int) -> None:
        self._made(lambda at: os.mkdir(at, mode), path)

    def rmdir(self, path: str) -> None:
        self._both(os.rmdir, path)

    def symlink(self, target: str, source: str) -> None:
        self._made(lambda at: os.symlink(source, at), target)

    def link(self, target: str, source: str) -> None:
        self._both(os.link, source, target)

    def rename(self, old: str, new: str) -> None:
        self._gone(new)
        self._both(os.rename, old, new)

    def unlink(self, path: str) -> None:
        self._gone(path)
        self._both(os.unlink, path)

    def _gone(self, path: str) -> None:
        """What was written to a file without a name is of no use; its number may be another file's soon."""
        if os.path.lexists(self._live + path) and os.lstat(self._live + path).st_nlink == 1:
            self._unsynced.pop(os.lstat(self._live + path).st_ino, None)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self._made(lambda at: os.close(os.open(at, os.O_WRONLY | os.O_CREAT, mode)), path)
        return self.open(path, os.O_RDWR)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._live + path, os.O_RDWR if flags & (os.O_WRONLY | os.O_RDWR) else os.O_RDONLY)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        done, written = os.pwrite(fh, data, offset), self._unsynced.setdefault(os.fstat(fh).st_ino, [])
        if written and sum(written[-1]) == offset:
            offset, length = written.pop()
            written.append((offset, length + done))
        else:
            written.append((offset, done))
        return done

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        self._both(lambda at: os.truncate(at, length), path)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        disk = os.open(self._disk + path, os.O_WRONLY)
        try:
            for offset, length in self._unsynced.pop(os.fstat(fh).st_ino, []):
                os.pwrite(disk, os.pread(fh, length, offset), offset)
        finally:
            os.close(disk)

    def release(self, path: str, fh: int) -> None:
        os.close(fh)


if __name__ == "__main__":
    import fusepy  # type: ignore[import-not-found]  # of the node, and only there

    os.umask(0)
    _, in_memory, folder = sys.argv
    # One after the other: what is being synced is not written to meanwhile.
    fusepy.FUSE(
        Forgetful(in_memory, folder, fusepy.fuse_get_context),
        folder,
        foreground=True,
        nothreads=True,
        nonempty=True,
        allow_other=True,
        default_permissions=True,
        big_writes=True,
        fsname="nodewise",
    )
