# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which variables there are: those that a role, a playbook or a plugin reads. Whoever misspells one is told."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultHelper

from ansible_collections.nodewise.cluster.plugins.plugin_utils.engine import NodewiseError, nearest, renamed

PREFIX = "nodewise_"
WORD = re.compile(rf"\b{PREFIX}[a-z0-9_]+")
FILES = ("roles/**/*.yml", "playbooks/*.yml", "plugins/**/*.py")  # of a collection
PUT_TOGETHER = {"nodewise_peer_url"}  # a name that stands nowhere whole, as the code makes it of two parts

# What a rehearsal on other hosts does not take over: where things are there, who may come in, and what is about one run.
PLACE = re.compile(
    r"_(unit|root|link|\w*dir|\w*user|\w*password|ca|cert|key|passfile|\w*url|address|port|\w*auth|\w*ctl|\w*python"
    r"|quorum_group|failure_domain|dcs|store|probe|backup\w*|package_wait)"
)
RUN = """system cluster version to component plan approve window_start window_end allow_any approvers change pause_is_ok waive
require_rehearsal rehearsals rehearsal_keys recover confirm strict upgrade_path"""
ONE_RUN = frozenset(PREFIX + name for name in RUN.split())
SECRET = re.compile(r"password|passphrase|secret|token|credential|(^|_)key$", re.IGNORECASE)
USERINFO = re.compile(r"//[^/@\s]+@")
LEAST = 4  # characters of a secret that is looked for within other text, as everywhere: docs/smoke.md
REPLACED = "replaced-by-nodewise"  # in the place of a secret


def carried(hosts: Sequence[Mapping[str, Any]], everything: Mapping[str, Any], facts: Iterable[str]) -> dict[str, Any]:
    """What an inventory says alike of all these hosts and a rehearsal takes over; every secret in it is replaced.

    `everything` is what the inventory has for the first of them, as it stands there: a vault's values may be part of others.
    A secret is what has such a name, what stands before the @ of a URL, whatever has anything in it that came out of a vault, and
    the content of a file whose mode hides it from others.
    """
    first, *others = hosts
    ours = {name for name in first if name.startswith(PREFIX)} - ONE_RUN - set(facts)
    names = {name for name in ours if not PLACE.fullmatch(name.removeprefix(PREFIX.rstrip("_")))}
    alike = {name: first[name] for name in sorted(names) if all(host.get(name) == first[name] for host in others)}
    vaulted = {text for value in everything.values() for text in _vaulted(value)}
    return {name: _without_secrets(name, value, vaulted) for name, value in alike.items()}


def _vaulted(value: Any) -> Iterator[str]:
    """What of a value came out of a vault."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _vaulted(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _vaulted(one)
    elif VaultHelper.get_ciphertext(value, with_tags=False) is not None:
        with suppress(AnsibleError):  # what cannot be decrypted here is part of no value that was read here
            yield str(value)


def _without_secrets(name: str, value: Any, vaulted: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        hidden = "content" if str(value.get("mode", "")).endswith("0") else None
        return {key: REPLACED if key == hidden else _without_secrets(str(key), one, vaulted) for key, one in value.items()}
    if SECRET.search(name):
        return REPLACED
    if isinstance(value, list | tuple):
        return [_without_secrets(name, one, vaulted) for one in value]
    if any(secret == str(value) or (len(secret) >= LEAST and secret in str(value)) for secret in vaulted):
        return REPLACED
    return USERINFO.sub(f"//{REPLACED}@", value) if isinstance(value, str) else value


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
