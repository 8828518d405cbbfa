#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: etcd_switch
short_description: Have a member of etcd run from a staged release, and observe the cluster
version_added: 0.2.0
description:
  - Does what M(nodewise.cluster.release_switch) does, and then what M(nodewise.cluster.etcd_info) does, in one round trip.
  - The node is free for others when the cluster is observed.
options:
  settled:
    description: What to wait for after the switch, as for M(nodewise.cluster.etcd_info). Without it nothing is observed.
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
  - nodewise.cluster.etcd
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
- name: Run the new release, and wait until the cluster is whole again
  nodewise.cluster.etcd_switch:
    unit: etcd
    root: /opt/nodewise/etcd
    version: 3.5.16
    members:
      - {name: n1, url: "https://10.0.0.1:2379"}
      - {name: n2, url: "https://10.0.0.2:2379"}
      - {name: n3, url: "https://10.0.0.3:2379"}
    ca: /etc/nodewise/etcd/ca.crt
    cert: /etc/nodewise/etcd/node.crt
    key: /etc/nodewise/etcd/node.key
    settled: {serving: true, leader: true, versions: {n1: 3.5.16}}
"""

RETURN = r"""
observation:
  description: What the cluster says about itself, as M(nodewise.cluster.etcd_info) returns it.
  returned: with O(settled)
  type: dict
missing:
  description: One line for each thing in O(settled) that is not so.
  returned: with O(settled)
  type: list
  elements: str
polls:
  description: How many times the members were asked.
  returned: with O(settled)
  type: int
version:
  description: The version that the link leads to now; with it comes all else that M(nodewise.cluster.release_switch) returns.
  returned: success
  type: str
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.info import observe_after
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.release.switching import OPTIONS, perform

WAITING = {"settled": {"type": "dict"}, "deadline": {"type": "float", "default": 30.0}}


def main() -> None:
    spec = {**argument_spec(), **CHANGING, **OPTIONS, **WAITING}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    changing(module, partial(perform, module.params), f"etcd_switch to {module.params['version']}", after=observe_after)


if __name__ == "__main__":
    main()
