# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which variables there are: those that a role, a playbook or a plugin reads. Whoever misspells one is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import NodewiseError, nearest, renamed

PREFIX = "nodewise_"
WORD = re.compile(rf"\b{PREFIX}[a-z0-9_]+")
FILES = ("roles/**/*.yml", "playbooks/*.yml", "plugins/**/*.py")  # of a collection
PUT_TOGETHER = {"nodewise_peer_url"}  # a name that stands nowhere whole, as the code makes it of two parts


def known(collections: Iterable[Path], parts: Iterable[str] = ()) -> set[str]:
    """Every name that the files of these collections read, also under its old name, and the version of each of the `parts`."""
    read = set().union(*(_read(root) for root in collections))
    return read | PUT_TOGETHER | {*renamed.VARIABLES, *renamed.WAIVERS} | {f"{PREFIX}{part}_version" for part in parts}


@cache
def _read(root: Path) -> set[str]:
    files = {path for pattern in FILES for path in root.glob(pattern)}
    return {name for path in files for name in WORD.findall(path.read_text(encoding="utf-8"))}


def refuse_misspelt(given: Iterable[str], there: set[str], facts: Iterable[str]) -> None:
    """Raise NodewiseError for names that nobody reads, and for facts, which nobody may set; `given` are those of -e."""
    ours = sorted(name for name in given if name.startswith(PREFIX))
    said = [f"{name} is set by Nodewise itself" for name in ours if name in set(facts)]
    said += [f"there is no variable {name}{_meant(name, there)}" for name in ours if name not in there]
    if said:
        raise NodewiseError(f"{'; '.join(said)}: it was given with -e, and nothing was begun")


def misspelt(hosts: Iterable[Mapping[str, Any]], there: set[str], facts: Iterable[str]) -> str:
    """What to say of names in an inventory that nobody reads: one line, or nothing."""
    names = sorted({name for host in hosts for name in host if name.startswith(PREFIX)} - there - set(facts))
    return f"the inventory sets {', '.join(name + _meant(name, there) for name in names)}, which nothing reads" if names else ""


def _meant(name: str, there: Iterable[str]) -> str:
    """The nearest name, by what follows the prefix that all have."""
    found: str = nearest(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in there])
    return found.replace("mean ", f"mean {PREFIX}", 1)
