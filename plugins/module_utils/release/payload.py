# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Having the packages of a staged release installed."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import Any, Iterator

from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import Manager, PackageError
from ansible_collections.nodewise.cluster.plugins.module_utils.release.managers import of_host
from ansible_collections.nodewise.cluster.plugins.module_utils.release.store import Store

SYSTEM = "/usr"  # where packages put most of what is in them


class Payload:
    """The packages of a staged release, which may have none."""

    def __init__(self, store: Store, version: str) -> None:
        self.folder = os.path.join(store.path(version), "files")
        self.packages: dict[str, dict[str, Any]] = (store.manifest(version) or {}).get("packages") or {}
        self.named = [name for name, entry in self.packages.items() if not entry["needed"]]
        self.manager = of_host() if self.packages else None

    def missing(self) -> list[str]:
        """Return what has to be installed: a named one of another version, a needed one that is not there at all."""
        if not self.manager:
            return []
        has = self.manager.installed(list(self.packages))
        wanted = self.packages.items()
        return [name for name, entry in wanted if name not in has or not (entry["needed"] or has[name] == entry["version"])]

    def settled(self) -> bool:
        """Return whether all is installed, and held."""
        return not self.missing() and not (self.manager and set(self.named) - set(self.manager.held(self.named)))

    def vet(self) -> None:
        """Refuse what cannot be installed, as long as there is time: what was staged before may not fit what is there now."""
        if self.manager and not self.manager.broken() and (lacking := self.missing()):
            self._refuse_unfit(self.manager, lacking)

    @contextmanager
    def ready(self, timeout: float) -> Iterator[None]:
        """Keep others from installing, and refuse what cannot be installed while everything still runs."""
        if not self.manager:
            yield
            return
        with self.manager.locked(timeout):
            broken = self.manager.broken()
            if others := sorted(set(broken) - set(self.packages)):
                raise PackageError(
                    f"{', '.join(others[:5])} half installed, but not by Nodewise: fix that first (dpkg --configure -a)"
                )
            lacking = self.missing()
            if lacking and not broken:  # else this goes on with what was found fit, and was interrupted
                self._refuse_unfit(self.manager, lacking)
            yield

    def install(self) -> None:
        """Install what is missing and hold the named ones."""
        if not self.manager:
            return
        lacking = self.missing()
        if lacking:
            self.manager.install(self._files(lacking))
        if left := self.missing():
            raise PackageError(f"{', '.join(left)}: {self.manager.name} does not have it installed as it was staged")
        self.manager.hold(self.named)

    def _refuse_unfit(self, manager: Manager, lacking: list[str]) -> None:
        manager.fits(self._files(lacking))
        needs, free = sum(self.packages[name]["bytes"] for name in lacking), shutil.disk_usage(SYSTEM).free
        if free < needs:
            raise PackageError(
                f"{SYSTEM} has {free >> 20} MiB free, expected {needs >> 20} MiB for {', '.join(lacking)}: make room"
            )

    def _files(self, names: list[str]) -> list[str]:
        return [os.path.join(self.folder, self.packages[name]["file"]) for name in names]
