# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Offers the testnets that are up to any playbook."""

from __future__ import annotations

DOCUMENTATION = r"""
name: testnet
short_description: Testnets that are up, one group for each cluster
version_added: 0.1.0
author:
  - Nodewise maintainers (@nodewise)
description:
  - Each testnet that C(testnet up) has made is a group of its name, with its nodes as hosts.
  - A cluster beside that of its system is a group of its own (C(dev_store)), of the same nodes by other names (C(dev-n1-store)).
  - Reads the state that C(testnet) keeps, and what the system's role wants beside it; asks no container engine.
  - Without any testnet the inventory is empty, which is no error.
options:
  plugin:
    description: Names this plugin, so that the file is read by it.
    type: str
    required: true
    choices: [nodewise.cluster.testnet]
  testnet:
    description: Offer only the testnet of this name.
    type: str
    env:
      - name: NODEWISE_TESTNET
requirements:
  - the Python package nodewise of the same version, on the controller
"""

EXAMPLES = r"""
# inventories/testnet/nodewise.yml
plugin: nodewise.cluster.testnet
"""

from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template

try:
    from nodewise.testnet.inventory import tree
    from nodewise.testnet.state import ups
except ImportError as error:
    MISSING: ImportError | None = error
else:
    MISSING = None


class InventoryModule(BaseInventoryPlugin):
    """The inventory plugin C(nodewise.cluster.testnet)."""

    NAME = "nodewise.cluster.testnet"

    def verify_file(self, path: str) -> bool:
        """Accept the configuration file that Nodewise ships."""
        return super().verify_file(path) and path.endswith(("nodewise.yml", "nodewise.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add a group for each testnet that is up."""
        super().parse(inventory, loader, path, cache)
        if MISSING:
            raise AnsibleParserError(f"Ansible's Python has no package nodewise ({MISSING}); install it with: pip install nodewise")
        self._read_config_data(path)
        only = self.get_option("testnet")
        for name, group in tree(testnet for testnet in ups() if only in (None, "", testnet.name)).items():
            self._add(name, group)

    def _add(self, group: str, told: dict[str, Any]) -> None:
        self.inventory.add_group(group)
        for key, value in told["vars"].items():
            self.inventory.set_variable(group, key, _with_templates(value))
        for name, values in told["hosts"].items():
            self.inventory.add_host(name, group=group)
            for key, value in values.items():
                self.inventory.set_variable(name, key, value)


def _with_templates(value: Any) -> Any:
    """The value with its templates filled in where it is used, as in a file of group_vars: whoever made the testnet wrote it."""
    if isinstance(value, dict):
        return {key: _with_templates(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_templates(one) for one in value]
    return trust_as_template(value) if isinstance(value, str) else value
