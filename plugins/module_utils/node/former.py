# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a node's configuration that change: what becomes different, without secrets, and what was there before.

What was there is kept for root alone in <root>/former, until the next change of settings: {"of": change, "files": {path: null |
[name of the copy, mode, uid, gid]}}.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import json
import os
import re
import shutil
import stat
from typing import Any

from ansible_collections.nodewise.cluster.plugins.module_utils.host import files
from ansible_collections.nodewise.cluster.plugins.module_utils.host.command import masked
from ansible_collections.nodewise.cluster.plugins.module_utils.host.text import cut

MACHINE = "/etc/machine-id"  # no secret of the cluster, and in no record: a digest with it tells nobody what is in a file
MANIFEST = "manifest.json"
OTHERS = 0o004  # may read it: then it holds no secret
LINES = 20  # of one file that are shown
WIDTH = 200
_SECRET = re.compile(r"""(?i)([\w.-]*(?:pass|secret|token|credential|api_?key)[\w-]*["']?\s*[:=]\s*)(?!["']?/)\S.*""")


def digest(wanted: dict[str, dict[str, Any]]) -> str:
    """Return what tells one set of files from any other, and only on this node."""
    try:
        with open(MACHINE, "rb") as stream:
            key = stream.read().strip()
    except FileNotFoundError:
        key = b""
    return hmac.new(key or os.uname().nodename.encode(), json.dumps(wanted, sort_keys=True).encode(), hashlib.sha256).hexdigest()[
        :16
    ]


def shown(path: str, wanted: dict[str, Any] | None) -> list[str]:
    """Return what becomes different in one path, a line each; of a file that not everybody may read only that it does."""
    there = _read(path)
    if wanted is None or (there is not None and there == wanted["content"].encode()):
        return [f"{path}: its owner or mode changes" if os.path.lexists(path) else f"{path} is made"]
    if hides(wanted) or (there is not None and not _access(path)[0] & OTHERS):
        return [f"{path}: {'is new' if there is None else 'changes'}, and holds secrets"]
    if there is None:
        return [f"{path}: is new"]
    old, new = there.decode(errors="replace").splitlines(), wanted["content"].splitlines()
    lines = [line for line in difflib.unified_diff(old, new, n=0, lineterm="") if not line.startswith(("---", "+++", "@@"))]
    more = [f"{path}: and {len(lines) - LINES} lines more"] if len(lines) > LINES else []
    return [f"{path}: {cut(_masked(line), WIDTH)}" for line in lines[:LINES]] + more


def hides(wanted: dict[str, Any]) -> bool:
    """Return whether a file is to be readable by some alone: it holds a secret."""
    return bool(wanted.get("mode")) and not int(wanted["mode"], 8) & OTHERS


def keep(root: str, of: str, paths: list[str]) -> None:
    """Keep what is there of these paths, unless this change (`of`) did so before: then what is there may be its own."""
    folder = _folder(root)
    kept = _manifest(folder)
    if kept.get("of") != of:
        shutil.rmtree(folder, ignore_errors=True)
        kept = {"of": of, "files": {}}
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path in paths:
        if path not in kept["files"] and not os.path.isdir(path):
            kept["files"][path] = _copied(folder, path, str(len(kept["files"])))
    files.replace(os.path.join(folder, MANIFEST), json.dumps(kept).encode())


def put_back(root: str, of: str) -> list[str]:
    """Have the files be what they were before a change, and return the paths that this changes."""
    folder = _folder(root)
    kept, changed = _manifest(folder), []
    for path, was in kept.get("files", {}).items() if kept.get("of") == of else []:
        there = _read(path)
        if was is None:
            if there is not None:
                os.unlink(path)
                changed.append(path)
            continue
        name, mode, uid, gid = was
        before = _read(os.path.join(folder, name)) or b""
        if there != before or _access(path) != [mode, uid, gid]:
            files.replace(path, before, files.Access(mode, uid, gid))
            changed.append(path)
    return changed


def _folder(root: str) -> str:
    return os.path.join(root, "former")


def _manifest(folder: str) -> dict[str, Any]:
    found = _read(os.path.join(folder, MANIFEST))
    return dict(json.loads(found)) if found else {}


def _copied(folder: str, path: str, name: str) -> list[Any] | None:
    there = _read(path)
    if there is None:
        return None
    files.replace(os.path.join(folder, name), there, files.Access(0o600, None, None))
    return [name, *_access(path)]


def _access(path: str) -> list[int]:
    found = os.lstat(path)
    return [stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid]


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _masked(line: str) -> str:
    """A line of configuration without values that smell of secrets; a path to one is none."""
    return masked(_SECRET.sub(r"\1…", line))
