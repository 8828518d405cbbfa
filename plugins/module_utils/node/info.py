# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one node says of itself. What cannot be read is None, with an error: never 0 or ""."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from typing import Any, Callable

from ansible_collections.nodewise.cluster.plugins.module_utils.host.observation import timestamp
from ansible_collections.nodewise.cluster.plugins.module_utils.host.process import programs
from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import PYTHON
from ansible_collections.nodewise.cluster.plugins.module_utils.host.settings import Parser, SettingsError
from ansible_collections.nodewise.cluster.plugins.module_utils.host.unit import Unit, UnitError
from ansible_collections.nodewise.cluster.plugins.module_utils.host.x509 import not_after
from ansible_collections.nodewise.cluster.plugins.module_utils.node import restart
from ansible_collections.nodewise.cluster.plugins.module_utils.node import state as nodestate
from ansible_collections.nodewise.cluster.plugins.module_utils.release import managers
from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import PackageError, run
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import Store

BLOCK = 512  # bytes of a block in stat, whatever the file system
RESTARTERS = ("needrestart", "unattended-upgrade", "dnf-automatic")  # what restarts services on its own, as it upgrades packages
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Node:
    """Collects answers; one that cannot be had becomes None and a line in `errors`."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def ask(self, what: str, question: Callable[[], Any]) -> Any:
        """Return the answer, or None when asking failed."""
        try:
            return question()
        except (OSError, ValueError, UnitError, nodestate.StateError, PackageError, SettingsError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.errors.append(f"{what}: {reason or type(error).__name__}")
            return None

    def info(self, root: str, given: dict[str, Any]) -> dict[str, Any]:
        """Return all of it; what was not asked for (link, unit, data_dir, config, certificates) is None without an error."""
        store, unit, data_dir = Store(root, given.get("link")), given.get("unit"), given.get("data_dir")
        names = given.get("packages")
        state = self.ask("systemd", lambda: Unit(unit).loaded()) if unit else None
        return {
            "root": root,
            "state": self.ask("state", lambda: nodestate.read(root)),
            "machine": os.uname().machine,
            "boot_id": self.ask(BOOT_ID, boot_id),
            "boot": self.ask(BOOT_ID, boot),
            "staged": self.ask(store.releases, store.staged),
            "linked": self.ask(store.link, store.linked),
            "components": {
                name: self.ask(path, partial(_component, path)) for name, path in (given.get("components") or {}).items()
            },
            "free_bytes": self.ask(store.releases, lambda: free_bytes(store.releases)),
            "unit": state.as_dict() if state else None,
            "restart": self.ask("what a restart would use", lambda: restart.told(state, store.link, given)) if state else None,
            "data": self.ask(data_dir, lambda: {**data(data_dir), "room": given.get("data_room", True)}) if data_dir else None,
            "certificates": {path: self.ask(path, partial(certificate, path)) for path in given.get("certificates") or []},
            **(self.ask(PYTHON, python) or {"python": None, "libc": None}),
            "packages": self.ask("packages", lambda: managers.read(names)) if names else None,
            "restarters": self.ask("/proc", lambda: [{"pid": pid, "name": name} for pid, name in programs(RESTARTERS)]),
            "settings": {path: self.ask("settings", partial(readable, path, given)) for path in given.get("settings") or []},
            "clock": time.time_ns(),  # last: it is held against the controller's, which looks at its own when this arrives
            "errors": self.errors,
        }


def readable(path: str, given: dict[str, Any]) -> bool:
    """Return whether a file of settings is there; SettingsError where it cannot be read as a later step will read it."""
    Parser(given.get("settings_python"), given.get("settings_packages")).read(path)
    return os.path.exists(path)


def _component(root: str) -> dict[str, Any]:
    store = Store(root)
    return {"linked": store.linked(), "staged": store.staged()}


def boot_id() -> str:
    """Return the kernel's id of this boot: another one tells a reboot."""
    with open(BOOT_ID, encoding="ascii") as stream:
        return stream.read().strip()


def boot() -> str:
    """Return what tells this start of the machine from others; in a container the kernel goes on, and its first process is new."""
    with open("/proc/1/stat", encoding="utf-8", errors="replace") as stream:
        began = stream.read().rpartition(")")[2].split()[19]
    return f"{boot_id()}.{began}"


def python() -> dict[str, str]:
    """Return the version of the node's own Python, whichever runs this module, and that of its glibc ("" for another C library)."""
    done = run([PYTHON, "-c", "import platform, sys; print('%d.%d' % sys.version_info[:2], *platform.libc_ver())"])
    if done.returncode:
        raise PackageError(done.stderr.strip() or "it does not say its version")
    version, *libc = done.stdout.split()
    return {"python": version, "libc": libc[-1] if libc[:1] == ["glibc"] else ""}


def free_bytes(path: str) -> int:
    """Return what is free for root's programs where `path` lies, or will lie."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def data(folder: str) -> dict[str, int]:
    """Return the bytes that the files of a folder have on disk, and those that are free there."""
    return {"bytes": _usage(folder), "free_bytes": shutil.disk_usage(folder).free}


def certificate(path: str) -> dict[str, Any]:
    """Return when a certificate ends: as a time, and in seconds from now by the node's own clock."""
    with open(path, encoding="ascii", errors="replace") as stream:
        end = not_after(stream.read())
    return {"not_after": timestamp(end), "seconds_left": int(end - time.time())}


def _usage(parent: str) -> int:
    total = 0
    with os.scandir(parent) as entries:
        for entry in entries:
            try:
                folder = entry.is_dir(follow_symlinks=False)
                total += _usage(entry.path) if folder else entry.stat(follow_symlinks=False).st_blocks * BLOCK
            except FileNotFoundError:  # a running service removes files of its own while they are counted
                continue
    return total
