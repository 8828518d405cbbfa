#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_switch
short_description: Have a described service run from a staged release, and observe its members
version_added: 0.2.0
description:
  - Does what M(nodewise.cluster.release_switch) does, and then what M(nodewise.cluster.app_info) does, in one round trip.
  - The node is free for others when the members are observed.
options:
  settled:
    description: What to wait for after the switch, as for M(nodewise.cluster.app_info). Without it nothing is observed.
    type: dict
  deadline:
    description: Seconds to wait for it.
    type: float
    default: 30.0
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.switch
  - nodewise.cluster.change
  - nodewise.cluster.app
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Says whether the unit would be restarted. A version or unit that is not there yet is taken for one to come.
    support: full
  diff_mode:
    description: The version before and after are returned.
    support: none
  platform:
    description: Nodes are Linux hosts.
    platforms: linux
    support: full
"""

EXAMPLES = r"""
- name: Run the new release, and wait until all members serve again
  nodewise.cluster.app_switch:
    unit: greeter
    root: /opt/nodewise/greeter
    version: 1.1.0
    members:
      - {name: n1, address: 10.0.0.1}
      - {name: n2, address: 10.0.0.2}
    questions:
      ready: {tcp: {port: 8080, host: "", send: ""}, timeout: 2}
    settled: {serving: true, versions: {n1: 1.1.0}}
"""

RETURN = r"""
observation:
  description: What the members say, as M(nodewise.cluster.app_info) returns it.
  returned: with O(settled)
  type: dict
missing:
  description: One line for each thing in O(settled) that is not so.
  returned: with O(settled)
  type: list
  elements: str
version:
  description: The version that the link leads to now; with it comes all else that M(nodewise.cluster.release_switch) returns.
  returned: success
  type: str
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import OPTIONS as ASKING
from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import observe_after, secret
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.release.switching import OPTIONS, perform

WAITING = {"settled": {"type": "dict"}, "deadline": {"type": "float", "default": 30.0}}


def main() -> None:
    module = AnsibleModule(argument_spec={**ASKING, **CHANGING, **OPTIONS, **WAITING}, supports_check_mode=True)
    module.no_log_values = secret(module.params)
    changing(module, partial(perform, module.params), f"app_switch to {module.params['version']}", after=observe_after)


if __name__ == "__main__":
    main()
