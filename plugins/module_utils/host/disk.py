# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files as a process that begins now would find them: by which links, and since when."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from typing import NamedTuple

MOST = 1 << 20  # bytes of the largest file that is read as text
LINKS = 40  # that the kernel follows
HEAD = 256  # bytes, as much as the kernel reads of a script's first line


class Entry(NamedTuple):
    """One name on the disk: when its content was written (`changed`) and when it came there or anything of it was (`touched`).

    Both in seconds since the epoch. `target` is that of a link.
    """

    kind: str  # file, folder, link, other
    changed: float
    touched: float = 0.0
    identity: tuple[int, int] = (0, 0)
    target: str = ""


class Disk:
    """What is read from the disk. OSError for what cannot be read; what is not there is None."""

    def entry(self, path: str) -> Entry | None:
        """Return what lies at a path, which is not followed."""
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
        kind = kinds.get(stat.S_IFMT(found.st_mode), "other")
        target = os.readlink(path) if kind == "link" else ""
        return Entry(kind, found.st_mtime, found.st_ctime, (found.st_dev, found.st_ino), target)

    def identity(self, pid: int) -> tuple[int, int]:
        """Return device and inode of the program that a process runs, also when it was removed."""
        found = os.stat(f"/proc/{pid}/exe")
        return found.st_dev, found.st_ino

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, without the hidden ones."""
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))

    def matching(self, pattern: str) -> list[str]:
        """Return the paths that a pattern with * and ? stands for."""
        return sorted(glob.glob(pattern))

    def text(self, path: str) -> str:
        """Return what a file says, without what is no text in it; empty for a large one."""
        with open(path, "rb") as stream:
            content = stream.read(MOST + 1)
        return "" if len(content) > MOST or b"\0" in content else content.decode(errors="replace")

    def head(self, path: str) -> bytes:
        """Return how a file begins."""
        with open(path, "rb") as stream:
            return stream.read(HEAD)

    def sha256(self, path: str) -> str:
        """Return the checksum of a file."""
        sha = hashlib.sha256()
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                sha.update(block)
        return sha.hexdigest()


def way(disk: Disk, path: str) -> list[tuple[str, Entry | None]]:
    """Return the links that a path goes through and what it ends in, the last one; that is None where nothing is."""
    passed: list[tuple[str, Entry | None]] = []
    here, rest = "/", [word for word in path.split("/") if word]
    entry: Entry | None = Entry("folder", 0.0)
    while rest:
        here = os.path.normpath(os.path.join(here, rest.pop(0)))
        entry = disk.entry(here)
        if entry and entry.kind == "link":
            passed.append((here, entry))
            if len(passed) > LINKS:
                return [*passed, (here, None)]
            target = os.path.join(os.path.dirname(here), entry.target)
            here, rest = "/", [word for word in target.split("/") if word] + rest
    return [*passed, (here, entry)]


def shebang(disk: Disk, path: str) -> list[str]:
    """Return the words after #! in a script's first line, at most two as the kernel has it; none for a program, or for nothing."""
    found = way(disk, path)[-1][1]
    head = disk.head(path) if found and found.kind == "file" else b""
    return head[2:].split(b"\n")[0].decode(errors="replace").split(None, 1) if head.startswith(b"#!") else []


def changed(disk: Disk, path: str) -> float:
    """Return when a path began to lead to what it leads to: the newest of its links, and of the file that it ends in."""
    passed = way(disk, path)
    return max([0.0, *(entry.changed for step, entry in passed if entry and entry.kind in ("link", "file"))])
