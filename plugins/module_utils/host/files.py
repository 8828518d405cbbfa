# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing several small files in one go, each by an atomic rename, and the folders that they lie in."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure

NOBODY = -1  # whose number no file has


class FilesError(Failure):
    """Which path could not be made as it was wanted, and why; one line."""


def write_all(directories: list[dict[str, Any]], files: dict[str, dict[str, Any]], check: bool = False) -> list[str]:
    """Make folders (path, mode, owner, group), then files ({path: content, mode, owner, group}).

    Returns the paths that were changed, or would be. In check mode an owner that is not there yet is taken for one to come.
    """
    changed: list[str] = []
    for wanted in [*directories, *(_known(path, given) for path, given in files.items())]:
        try:
            make = _file if "content" in wanted else _directory
            if make(wanted, _access(wanted, check), check):
                changed.append(wanted["path"])
        except OSError as error:
            before = ", ".join(changed) or "nothing"
            raise FilesError(f"{wanted['path']}: {error.strerror or error}; changed before it: {before}") from None
    return changed


def give(path: str, owner: str | None) -> None:
    """Let the login user (`owner`, else who called sudo) read a file, and nobody else: it is copied off without privileges."""
    os.chmod(path, 0o600)
    name = owner or os.environ.get("SUDO_USER")
    if name:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            raise FilesError(f"{os.path.basename(path)} cannot be given to {name}: no such user on the node") from None
        os.chown(path, user.pw_uid, user.pw_gid)


def _known(path: str, given: Any) -> dict[str, Any]:
    """Ansible checks no options of a dictionary whose keys are paths."""
    whole = isinstance(given, dict) and isinstance(given.get("content"), str)
    if not whole or set(given) - {"content", "mode", "owner", "group"}:
        found = ", ".join(given) if isinstance(given, dict) else type(given).__name__
        raise FilesError(f"files: {path}: found {found or 'nothing'}; expected content (text), and mode, owner, group if wanted")
    return {**given, "path": path}


class Access:
    """Mode, user id and group id; None leaves one as it is."""

    def __init__(self, mode: int | None, uid: int | None, gid: int | None) -> None:
        self.mode, self.uid, self.gid = mode, uid, gid

    def fits(self, path: str) -> bool:
        """Return whether a path has it."""
        found = os.lstat(path)
        pairs = ((self.mode, stat.S_IMODE(found.st_mode)), (self.uid, found.st_uid), (self.gid, found.st_gid))
        return all(wanted is None or wanted == has for wanted, has in pairs)

    def apply(self, path: str) -> None:
        """Give it to a path."""
        os.chown(path, -1 if self.uid is None else self.uid, -1 if self.gid is None else self.gid)
        if self.mode is not None:  # after chown, which takes setuid and setgid away
            os.chmod(path, self.mode)


def _access(wanted: dict[str, Any], check: bool) -> Access:
    owner, group = wanted.get("owner"), wanted.get("group")
    try:
        mode = int(wanted["mode"], 8) if wanted.get("mode") else None
    except (ValueError, TypeError):
        raise FilesError(f"{wanted['path']}: mode is {wanted['mode']!r}, expected octal digits in quotes, such as '0640'") from None
    try:
        uid = pwd.getpwnam(owner).pw_uid if owner else None
        gid = grp.getgrnam(group).gr_gid if group else None
    except KeyError:
        if check:
            return Access(mode, NOBODY, NOBODY)
        raise FilesError(f"{wanted['path']}: owner {owner} or group {group} is unknown on the node: create them first") from None
    return Access(mode, uid, gid)


def _directory(wanted: dict[str, Any], access: Access, check: bool) -> bool:
    path = wanted["path"]
    if os.path.lexists(path) and not os.path.isdir(path):
        raise FilesError(f"{path} exists and is not a folder; it was left alone")
    if os.path.isdir(path) and access.fits(path):
        return False
    if not check:
        os.makedirs(path, mode=0o755, exist_ok=True)
        access.apply(path)
    return True


def _file(wanted: dict[str, Any], access: Access, check: bool) -> bool:
    path, content = wanted["path"], wanted["content"].encode()
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise FilesError(f"{path} exists and is not a plain file; it was left alone")
    if os.path.exists(path) and _read(path) == content and access.fits(path):
        return False
    if not check:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        replace(path, content, access)
    return True


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def replace(path: str, content: bytes, access: Access | None = None) -> None:
    """Write a file: readers see the old one or the new one, with the right access from its first moment, and the disk keeps it.

    Access that is not asked for stays as it was.
    """
    descriptor, part = tempfile.mkstemp(prefix=".nodewise-", dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            _inherit(path, part)
            if access:
                access.apply(part)
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    sync(os.path.dirname(path))


def _inherit(path: str, part: str) -> None:
    """What is not asked for stays as it was; a new file is its writer's, for all to read."""
    if os.path.exists(path):
        found = os.stat(path)
        Access(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid).apply(part)
    else:
        os.chmod(part, 0o644)


def sync(path: str) -> None:
    """Have the disk keep a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
