#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: postgresql_switch
short_description: Have a member of PostgreSQL run from a staged release, and observe the cluster
version_added: 0.2.0
description:
  - Does what M(nodewise.cluster.release_switch) does, and then what M(nodewise.cluster.postgresql_info) does, in one round trip.
  - The node is free for others when the cluster is observed.
options:
  settled:
    description: What to wait for after the switch, as for M(nodewise.cluster.postgresql_info). Without it nothing is observed.
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
  - nodewise.cluster.postgresql
  - nodewise.cluster.postgresql_observed
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
  nodewise.cluster.postgresql_switch:
    unit: patroni
    root: /opt/nodewise/postgresql
    version: "15.13"
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
      - {name: n2, host: 10.0.0.2, rest: "https://10.0.0.2:8008"}
    ca: /etc/nodewise/postgresql/ca.crt
    passfile: /etc/nodewise/postgresql/pgpass
    settled: {serving: true, leader: true, versions: {n1: "15.13"}}
"""

RETURN = r"""
observation:
  description: What the cluster says about itself, as M(nodewise.cluster.postgresql_info) returns it.
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

from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.info import OPTIONS as OBSERVED
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.info import observe_after
from ansible_collections.nodewise.cluster.plugins.module_utils.release.switching import OPTIONS, perform

WAITING = {"settled": {"type": "dict"}, "deadline": {"type": "float", "default": 30.0}}


def main() -> None:
    spec = {**argument_spec(), **OBSERVED, **CHANGING, **OPTIONS, **WAITING}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    changing(module, partial(perform, module.params), f"postgresql_switch to {module.params['version']}", after=observe_after)


if __name__ == "__main__":
    main()
