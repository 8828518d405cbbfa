# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Testnets as an Ansible inventory: the same for the plugin and for `testnet inventory`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from itertools import cycle
from typing import Any

from nodewise.testnet import roles, ssh
from nodewise.testnet.ssh import USER
from nodewise.testnet.state import Testnet


def tree(testnets: Iterable[Testnet]) -> dict[str, Any]:
    """The shape of a YAML inventory: one group a cluster. A testnet has one, and those that its system's role wants beside it."""
    return {name: group for testnet in testnets for name, group in groups(testnet).items()}


def groups(testnet: Testnet) -> dict[str, Any]:
    """The groups of a testnet with their hosts and variables, in the order in which they are needed."""
    own: dict[str, Any] = {"hosts": hosts(testnet), "vars": group_vars(testnet)}
    others: dict[str, Any] = {}
    for word, one in roles.beside(testnet.system).items():
        group = f"{testnet.name}_{word}"
        theirs = {"nodewise_pki_dir": str(testnet.pki / word), "nodewise_system": one.system, "nodewise_version": one.version}
        others[group] = {"hosts": hosts(testnet, f"-{word}"), "vars": {**_reached(testnet), **theirs}}
        own["vars"] = {one.variable: group, **own["vars"]}
    return {**others, testnet.name: own}


def hosts(testnet: Testnet, suffix: str = "") -> dict[str, dict[str, str]]:
    """Its hosts with their variables. With a suffix they are hosts of their own to Ansible, on the same nodes."""
    found = {node.name + suffix: {"ansible_host": node.address} for node in testnet.nodes}
    for values, domain in zip(found.values(), cycle(testnet.domains)):
        values["nodewise_failure_domain"] = domain
    return found


def group_vars(testnet: Testnet) -> dict[str, Any]:
    """Variables of the group that is a testnet."""
    values = {**_reached(testnet), "nodewise_pki_dir": str(testnet.pki)}
    if testnet.system:
        values["nodewise_system"] = testnet.system
    if testnet.version:
        values["nodewise_version"] = testnet.version
    return {**values, **testnet.variables}


def _reached(testnet: Testnet) -> dict[str, Any]:
    return {
        "ansible_user": USER,
        "ansible_ssh_private_key_file": str(testnet.key),
        "ansible_ssh_common_args": shlex.join(ssh.options(testnet)),
        "nodewise_test_host": True,
    }
