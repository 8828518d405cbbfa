# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that a process reads when it begins, as far as its command, its environment and its configuration name them."""

from __future__ import annotations

import os
import re

from ansible_collections.nodewise.cluster.plugins.module_utils.host.disk import Disk, changed, way

# What programs write while they run; below /var only what smells of configuration is read.
WRITTEN = re.compile(r"/(dev|proc|sys|run|tmp|var/(run|tmp|log|cache|spool))(/|$)|.*\.(log|out|err|pid|sock|lock)$")
PROGRAM = b"\x7fELF"  # is compared by what it is, not by its time
RUN = (PROGRAM, b"#!")  # what a configuration names of these is begun anew each time
_CONFIGURES = re.compile(r"conf|cfg|cert|secret|token|\.(ya?ml|json|toml|ini|env|pem|crt|key)$", re.IGNORECASE)
_NAMED = re.compile(r"""(?:(?<![\w.-])([\w.-]{1,80})["']?[ \t]*[:= ][ \t]*["'\[]*)?(?<![\w./*-])(/(?!/)[\w.+@%/-]*[\w+@%-])""")


def named(text: str) -> list[tuple[str, str]]:
    """Return the absolute paths that a text names, each with the word before it (option, setting, variable). URLs are none."""
    return [(setting or "", path) for setting, path in _NAMED.findall(text)]


class Reading:
    """Collects what was written after a moment (`newer`: path -> when), what is gone, and what cannot be read (path -> why).

    `reread` has paths, and ends of settings' names, whose files the process reads again by itself: their changes are known to it.
    """

    def __init__(self, disk: Disk, since: float, reread: list[str]) -> None:
        self.disk, self.since = disk, since
        self.paths = [one for one in reread if one.startswith("/")]
        self.settings = tuple(_plain(one) for one in reread if not one.startswith("/"))
        self.newer: dict[str, float] = {}
        self.gone: list[str] = []
        self.unread: dict[str, str] = {}
        self._seen: set[str] = set()

    def command(self, text: str) -> None:
        """What a command names is there, or was; of a folder it reads the files."""
        for setting, path in named(text):
            self._visit(setting, path, told=True)

    def value(self, text: str) -> None:
        """What a variable names, or a path by itself, may be missing."""
        for setting, path in named(text):
            self._visit(setting, path)

    def file(self, path: str, moved: bool = False) -> None:
        """A file whose own text names nothing more; with `moved` one counts, too, that came there with an older time."""
        try:
            found = way(self.disk, path)[-1][1]
            self._note(path, max(changed(self.disk, path), found.touched if found and moved else 0.0))
        except OSError as error:
            self.unread[path] = error.strerror or type(error).__name__

    def _visit(self, setting: str, path: str, told: bool = False, deep: bool = False) -> None:
        if path in self._seen or path in self.paths or not self._reads(setting, path):
            return
        self._seen.add(path)
        try:
            self._look(path, told, deep)
        except OSError as error:
            self.unread[path] = error.strerror or type(error).__name__

    def _reads(self, setting: str, path: str) -> bool:
        if WRITTEN.match(path) or (self.settings and _plain(setting).endswith(self.settings)):
            return False
        return not path.startswith("/var/") or bool(_CONFIGURES.search(f"{setting} {path}"))

    def _look(self, path: str, told: bool, deep: bool) -> None:
        end = way(self.disk, path)[-1][1]
        if end is None:
            parent = way(self.disk, os.path.dirname(path))[-1][1]
            if told and parent and os.path.dirname(path) != "/":
                self.gone.append(path)
        elif end.kind == "folder":
            self._note(path, changed(self.disk, path))
            if told:
                self._folder(path, end.changed)
        elif end.kind == "file" and not self.disk.head(path).startswith(PROGRAM if not deep else RUN):
            self._note(path, changed(self.disk, path))
            for setting, other in [] if deep else named(self.disk.text(path)):
                self._visit(setting, other, deep=True)

    def _folder(self, folder: str, written: float) -> None:
        """Its files of configuration, and whether one was taken away where there is nothing else: data is written all the time."""
        files = [os.path.join(folder, name) for name in self.disk.names(folder)]
        configures = [file for file in files if _CONFIGURES.search(os.path.basename(file))]
        for file in configures:
            self._visit("", file)
        if files and files == configures and not any(os.path.dirname(path) == folder for path in [*self.paths, *self.newer]):
            self._note(folder, written)

    def _note(self, path: str, written: float) -> None:
        if written > self.since:
            self.newer[path] = written


def _plain(setting: str) -> str:
    return setting.lower().replace("_", "-")
