# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of a node's package manager, whichever it is: `apt`, `dnf`.

Indexes are kept apart from those of the system, which stay as they are.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import Any, Iterator, NamedTuple

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.host.holder import holder
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment, proxies
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

CACHE = "/var/cache/nodewise"
MAX_AGE_S = 24 * 3600
JUST_NOW_S = 60
QUERY_S = 60.0
FETCH_S = 300.0
INSTALL_S = 900.0  # a bound for what hangs; to end an installation that goes on would be worse than to wait for it
BEGINS = ("E:", "error:", "dpkg: error", "Error:", "Problem")  # a line of a program that says what is wrong
SAYING = 300  # characters of what a program said that are worth showing


class PackageError(Failure):
    """What the package manager said, or what is in its way; one or two lines."""


class Wanted:
    """One package as it is asked for: a name, and a version of its own (exactly) or none."""

    def __init__(self, text: str) -> None:
        self.name, _equals, self.version = text.partition("=")


class Locks(NamedTuple):
    """Files that package managers lock."""

    blocking: list[str]
    telling: list[str]


class Manager(ABC):
    """What both package managers have in common; methods raise PackageError."""

    name = ""
    suffix = ""  # of its files
    cache = ""  # a pattern of the files that it fetched

    def offered(self, names: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Return each version (version, upstream, url, sha256, size) that is offered of each name, the highest first.

        The index is fetched when it is older than a day, or lacks a name, or the upstream version in `name=upstream`.
        """
        asked = [Wanted(text) for text in names]
        with self._index_lock():
            trouble = "" if self._fresh(MAX_AGE_S) else self._refresh()
            found = self._offered([one.name for one in asked])
            if not _all_offered(asked, found) and not trouble and not self._fresh(JUST_NOW_S):
                trouble = self._refresh()
                found = self._offered([one.name for one in asked])
        # An index that could not be fetched anew was still signed: what it has can be had, as far as it goes.
        if trouble and not _all_offered(asked, found):
            raise PackageError(trouble)
        return found

    @abstractmethod
    def installed(self, names: list[str]) -> dict[str, str]:
        """Return the version of each package that is whole and configured."""

    @abstractmethod
    def held(self, names: list[str]) -> list[str]:
        """Return those that are held at their version."""

    @abstractmethod
    def hold(self, names: list[str]) -> None:
        """Hold packages at their version."""

    @abstractmethod
    def about(self, file: str) -> tuple[str, str, int]:
        """Return name, version and installed size (bytes) of a package file."""

    @abstractmethod
    def download(self, wanted: list[str], folder: str, timeout: float) -> None:
        """Fetch packages (`name=version`, exactly) into a folder; the manager checks them against its signed index."""

    @abstractmethod
    def needed(self, files: list[str]) -> list[str]:
        """Return what else (`name=version`) has to be installed with the files, in the order of installing.

        What would remove a package, or change one that is installed and not among the files, is refused.
        """

    def fits(self, files: list[str]) -> None:
        """Refuse files that cannot be installed as they are, with nothing else."""
        if further := self.needed(files):
            raise PackageError(f"{', '.join(further)} is needed now and was not staged: install that first")

    @abstractmethod
    def install(self, files: list[str]) -> None:
        """Install files in this order, also over a higher version. No service is started or stopped by it."""

    @abstractmethod
    def broken(self) -> list[str]:
        """Return the packages that are half installed."""

    @abstractmethod
    def locked(self, timeout: float) -> Any:
        """Keep everybody else from installing, until the context ends."""

    @abstractmethod
    def locks(self) -> Locks:
        """Return the files whose locks stand in the way of an installation, and those that tell of another one."""

    def held_by_others(self) -> dict[str, str]:
        """Return who holds which of the manager's locks: `name (pid N)` by path."""
        return _held([*self.locks().blocking, *self.locks().telling])

    def wait(self, timeout: float) -> tuple[dict[str, str], float]:
        """Wait until nobody is in the way of an installation; return who still is after `timeout` s, and the seconds waited."""
        began, blocking = time.monotonic(), self.locks().blocking
        while (held := _held(blocking)) and time.monotonic() - began < timeout:
            time.sleep(min(0.2, timeout))
        return held, round(time.monotonic() - began, 3)

    def cached(self, name: str, version: str) -> str | None:
        """Return a file of exactly that version in the manager's own cache, or None."""
        for path in sorted(glob.glob(self.cache)):
            if os.path.basename(path).startswith(name):
                try:
                    if self.about(path)[:2] == (name, version):
                        return path
                except PackageError:
                    continue
        return None

    def _offered(self, names: list[str]) -> dict[str, list[dict[str, Any]]]:
        raise NotImplementedError

    @abstractmethod
    def _refresh(self) -> str:
        """Fetch the index; what went wrong, or nothing."""

    def _fresh(self, age: float) -> bool:
        try:
            return os.stat(os.path.join(CACHE, self.name, "updated")).st_mtime > max(time.time() - age, self._chosen())
        except FileNotFoundError:
            return False

    def _chosen(self) -> float:
        """Return when the node's choice of archives was changed last."""
        return 0.0

    @contextmanager
    def _index_lock(self) -> Iterator[None]:
        os.makedirs(os.path.join(CACHE, self.name), mode=0o755, exist_ok=True)
        with open(os.path.join(CACHE, self.name, "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def locked_file(path: str, until: float) -> Iterator[None]:
    """Hold a lock as package managers take theirs: it ends with the process. PackageError when somebody has it for too long."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        while not _lockable(descriptor):
            if time.monotonic() > until:
                who = holder(path) or "another package manager"
                raise PackageError(f"{path} is held by {who}; wait for its end and try again")
            time.sleep(0.2)
        yield
    finally:
        os.close(descriptor)


def _held(paths: list[str]) -> dict[str, str]:
    return {path: who for path in paths if (who := holder(path))}


def _lockable(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def refuse_more(ours: set[str], removed: list[str], touched: list[str]) -> None:
    """Raise PackageError when installing packages would do more than add what they need."""
    names = ", ".join(sorted(ours))
    if removed:
        raise PackageError(f"installing {names} would remove {', '.join(removed)}; nothing was done")
    if touched:
        raise PackageError(
            f"{names} needs another version of what is installed ({', '.join(touched)}): "
            "install that yourself first, or name it among the release's packages"
        )


def upstream(version: str) -> str:
    """Return the upstream part of a package's version: 15.18 of `15.18-0+deb12u1`, 3.3.25 of `1:3.3.25+dfsg-6`."""
    return re.sub(r"^\d+:|-[^-]*$", "", version).split("+")[0]


def run(
    command: list[str],
    timeout: float = QUERY_S,
    text: str | None = None,
    cwd: str | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program in English; one that is not there, or does not end in time, is a PackageError."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            input=text,
            timeout=timeout,
            check=False,
            cwd=cwd,
            env=environment(**proxies(), **(env or {})),
        )
    except subprocess.TimeoutExpired:
        raise PackageError(f"{' '.join(command[:2])} did not end within {timeout:.0f} s") from None
    except OSError as error:
        raise PackageError(f"{command[0]}: {error.strerror}") from None


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a program said was wrong, in one line; dpkg says the reason in the line after."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    told = [number for number, line in enumerate(lines) if line.startswith(BEGINS)]
    found = [line for number in told for line in lines[number : number + 1 + lines[number].endswith(":")]]
    return cut(" ".join(found or lines[-3:] or [f"exit code {done.returncode}"]), SAYING)


def _of_line(version: str, prefix: str) -> bool:
    return f"{version}.".startswith(f"{prefix}.")


def _all_offered(asked: list[Wanted], found: dict[str, list[dict[str, Any]]]) -> bool:
    def has(one: Wanted) -> bool:
        versions = found.get(one.name) or []
        return any(
            not one.version or one.version == each["version"] or _of_line(each["upstream"], one.version) for each in versions
        )

    return all(has(one) for one in asked)
