#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_recover
short_description: See what there is of a PostgreSQL member that is down, and bring it back
version_added: "0.1.0"
description:
  - V(looked) says what there is of the member, and changes nothing.
  - V(back) starts its Patroni and waits until the member streams from the primary on the cluster's timeline, or leads.
    Patroni rewinds a member that was ahead by itself, and makes a replica anew where there is no data.
  - When its data does not let it get there in half of O(timeout_s), and another member leads, the data is moved aside to
    C(<data_dir>.before-recovery-<time>) and the member is made anew. Data is never deleted.
  - A pause of the cluster that a killed run of Nodewise left is ended. One of somebody else's fails.
author:
  - Nodewise maintainers (@nodewise)
options:
  state:
    description: Which of the two.
    type: str
    choices: [looked, back]
    required: true
  member:
    description: The member; the module runs on its node.
    type: str
    required: true
  unit:
    description: The systemd unit of its Patroni.
    type: str
    default: patroni
  data_dir:
    description: The data folder of its PostgreSQL.
    type: path
    required: true
  timeout_s:
    description: Seconds that it may take to come back.
    type: float
    default: 120.0
extends_documentation_fragment:
  - nodewise.cluster.change
  - nodewise.cluster.postgresql
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Says whether something would be done.
    support: full
  diff_mode:
    description: What changes is not text.
    support: none
  platform:
    description: Nodes are Linux hosts.
    platforms: linux
    support: full
"""

EXAMPLES = r"""
- name: Bring the member back
  nodewise.cluster.postgresql_recover:
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
      - {name: n2, host: 10.0.0.2, rest: "https://10.0.0.2:8008"}
      - {name: n3, host: 10.0.0.3, rest: "https://10.0.0.3:8008"}
    ca: /etc/nodewise/postgresql/ca.crt
    cert: /etc/nodewise/postgresql/node.crt
    key: /etc/nodewise/postgresql/node.key
    passfile: /etc/nodewise/postgresql/pgpass
    rest_auth: /etc/nodewise/postgresql/rest
    state: back
    member: n2
    data_dir: /var/lib/nodewise/postgresql
"""

RETURN = r"""
state:
  description: V(serving), V(stopped) (it has data, and is not as it should be), or V(empty) (it has no data on this node).
  returned: with state looked
  type: str
kept:
  description: The folder with the data from before; null when the member came back with it.
  returned: with state back
  type: str
resumed:
  description: Whether the pause of a killed run was ended.
  returned: with state back
  type: bool
seconds:
  description: How long it took on the node.
  returned: when something was done
  type: float
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.recover import bring_back, look

SPEC = {
    "state": {"type": "str", "required": True, "choices": ["looked", "back"]},
    "member": {"type": "str", "required": True},
    "unit": {"type": "str", "default": "patroni"},
    "data_dir": {"type": "path", "required": True},
    "timeout_s": {"type": "float", "default": 120.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **CHANGING, **SPEC}, supports_check_mode=True)
    if module.params["state"] == "back":
        changing(module, partial(bring_back, module.params), "recover")
    try:
        module.exit_json(changed=False, **look(module.params))
    except Failure as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
