# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role of a system: in this checkout, or by its FQCN in a collection, where Ansible would find it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import yaml

from nodewise.errors import UsageError
from nodewise.testnet.home import SOURCES, checkout, home

DECLARED = "meta/upgrade.yml"  # what makes a role that of a system
SEARCHED = "ANSIBLE_COLLECTIONS_PATH"


class Beside(msgspec.Struct, forbid_unknown_fields=True):
    """A cluster that a testnet has beside its own, on the same nodes; `variable` tells the testnet's own cluster its group."""

    system: str
    version: str
    variable: str


class _Testnet(msgspec.Struct, forbid_unknown_fields=True):
    """A role's `meta/testnet.yml`. `beside`: by a word that ends the names of the group and of its hosts."""

    beside: dict[str, Beside] = {}


def ours() -> list[str]:
    """Names of the systems that this checkout has a role for."""
    return sorted(path.parents[1].name for path in (checkout() / "roles").glob(f"*/{DECLARED}"))


def find(system: str) -> Path:
    """The folder of a system's role. Raises UsageError, in one line, when there is none."""
    there = _folders(system)
    found = next((folder for folder in there if (folder / DECLARED).exists()), None)
    if found is None:
        known = f"known: {', '.join(ours()) or 'none'}, and roles of collections by their FQCN ({SEARCHED})"
        raise UsageError(f"no system named {system!r}, expected a role with {DECLARED}; {known}")
    return found


def beside(system: str | None) -> dict[str, Beside]:
    """The clusters that a testnet of a system has beside its own; none where the role is not there any more."""
    path = next((path for folder in _folders(system or "") if (path := folder / "meta/testnet.yml").exists()), None)
    if path is None:
        return {}
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), _Testnet).beside
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def collections() -> list[Path]:
    """Folders with `ansible_collections` in them, as our configuration and the environment name them, then Python's own."""
    from ansible.config.manager import ConfigManager

    named = ConfigManager(str(checkout() / "ansible.cfg")).get_config_value("COLLECTIONS_PATHS")
    paths = [Path(one).absolute() for one in (*named, *sys.path)]
    return list(dict.fromkeys(path.parent if path.name == "ansible_collections" else path for path in paths))


def environment() -> dict[str, str]:
    """Where to look for collections, for an ansible-playbook that works in another folder than the user, and where its home is."""
    named = [str(Path(one).expanduser().absolute()) for one in os.environ.get(SEARCHED, "").split(":") if one]
    if checkout() != SOURCES:  # our ansible.cfg is that of a checkout
        installed = str(checkout().parents[2])
        return {SEARCHED: ":".join(dict.fromkeys([*named, installed])), "ANSIBLE_HOME": str(home() / "ansible")}
    return {SEARCHED: ":".join(named)} if named else {}


def _folders(system: str) -> list[Path]:
    """Where the role of a system may be, the first one first."""
    namespace, _dot, rest = system.partition(".")
    if not rest:
        return [checkout() / "roles" / system]
    collection, _dot, role = rest.partition(".")
    return [path / "ansible_collections" / namespace / collection / "roles" / role for path in collections()]
