#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: reboot
short_description: Run a patch command, reboot the node, and wait until it is back
version_added: 0.3.0
description:
  - Runs O(command), and reboots the node when that ended with 0. A node that has rebooted since O(boot) is left alone.
  - The action plugin of this name waits until the node is back - started anew, with systemd at the end of its start - and gives up
    after O(deadline). The connection may be cut at any time.
options:
  state:
    description: V(looked) only says how the node is.
    type: str
    choices: [rebooted, looked]
    default: rebooted
  command:
    description: A shell line that is run before, such as C(apt-get -y upgrade). Nothing is rebooted when it fails.
    type: str
    default: ''
  boot:
    description:
      - What tells the start of the node that is to end from others, as M(nodewise.cluster.node_info) returns it; by default that of
        the fact V(nodewise_node).
    type: str
    default: ''
  deadline:
    description: Seconds that the command may take, and that the node may take to come back.
    type: float
    default: 1800.0
extends_documentation_fragment:
  - nodewise.cluster.change
  - ansible.builtin.action_common_attributes
author:
  - Nodewise maintainers (@nodewise)
attributes:
  check_mode:
    description: Says whether it would be rebooted.
    support: full
  diff_mode:
    description: Nothing that is text changes.
    support: none
  platform:
    description: Nodes are Linux hosts.
    platforms: linux
    support: full
"""

EXAMPLES = r"""
- name: Upgrade the operating system, and reboot
  nodewise.cluster.reboot:
    command: apt-get update && apt-get -y upgrade
"""

RETURN = r"""
boot:
  description: What tells this start of the node from others.
  returned: success
  type: str
system:
  description: What C(systemctl is-system-running) says, such as V(running), V(degraded) or V(starting).
  returned: success
  type: str
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.node.rebooting import looked, reboot

SPEC = {
    "state": {"type": "str", "choices": ["rebooted", "looked"], "default": "rebooted"},
    "command": {"type": "str", "default": ""},
    "boot": {"type": "str", "default": ""},
    "deadline": {"type": "float", "default": 1800.0},
}


def perform(given: dict[str, Any], dry: bool) -> dict[str, Any]:
    """Reboot, or look."""
    return reboot(given["boot"], given["command"], given["deadline"], dry)


def main() -> None:
    module = AnsibleModule(argument_spec={**CHANGING, **SPEC}, supports_check_mode=True)
    if module.params["state"] == "looked":
        module.exit_json(**looked())
    changing(module, partial(perform, module.params), "reboot")


if __name__ == "__main__":
    main()
