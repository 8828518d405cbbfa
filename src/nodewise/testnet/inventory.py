"""Testnets as an Ansible inventory: the same for the plugin and for `testnet inventory`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

from nodewise.testnet import ssh
from nodewise.testnet.state import USER, Testnet


def tree(testnets: Iterable[Testnet]) -> dict[str, Any]:
    """The shape of a YAML inventory: one group a testnet."""
    return {testnet.name: {"hosts": hosts(testnet), "vars": group_vars(testnet)} for testnet in testnets}


def hosts(testnet: Testnet) -> dict[str, dict[str, str]]:
    """Its hosts with their variables."""
    return {node.name: {"ansible_host": node.address} for node in testnet.nodes}


def group_vars(testnet: Testnet) -> dict[str, Any]:
    """Variables of the group that is a testnet."""
    values: dict[str, Any] = {
        "ansible_user": USER,
        "ansible_ssh_private_key_file": str(testnet.key),
        "ansible_ssh_common_args": shlex.join(ssh.options(testnet)),
        "nodewise_pki_dir": str(testnet.pki),
        "nodewise_test_host": True,
    }
    if testnet.system:
        values |= {"nodewise_system": testnet.system, "nodewise_version": testnet.version}
    return values
