#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Add a member to an etcd cluster
version_added: "0.1.0"
description:
  - Adds O(member) to the cluster that the others of O(members) form. It is to be started afterwards, with an empty data folder.
  - Changes nothing when it is a member already, and refuses while one of the others does not answer.
  - With O(replace) an entry that it has in the cluster, and which the node's empty data folder says is lost, is removed first.
    That is refused unless all the others agree, serve and have a majority without it, and nobody answers where the old member was.
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: Name of the new member.
    type: str
    required: true
  peer_url:
    description: Where its peers reach it.
    type: str
    required: true
  replace:
    description: Whether to give a member whose data is lost a new place. It needs O(data_dir).
    type: bool
    default: false
  data_dir:
    description:
      - The member's data folder on this node, which must hold no member's data. A database that never took part is moved aside.
    type: path
  deadline:
    description: Seconds in which the others must find themselves healthy enough to take a member in, with O(replace).
    type: float
    default: 15.0
extends_documentation_fragment:
  - nodewise.cluster.change
  - nodewise.cluster.etcd
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Says whether it would be added.
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
- name: Add a fourth member
  nodewise.cluster.etcd_member:
    members:
      - {name: n1, url: "https://10.0.0.1:2379"}
      - {name: n2, url: "https://10.0.0.2:2379"}
      - {name: n3, url: "https://10.0.0.3:2379"}
    ca: /etc/nodewise/etcd/ca.crt
    cert: /etc/nodewise/etcd/node.crt
    key: /etc/nodewise/etcd/node.key
    member: n4
    peer_url: https://10.0.0.4:2380

- name: Give a member on new hardware a new place
  nodewise.cluster.etcd_member:
    members:
      - {name: n1, url: "https://10.0.0.1:2379"}
      - {name: n2, url: "https://10.0.0.2:2379"}
      - {name: n3, url: "https://10.0.0.3:2379"}
    ca: /etc/nodewise/etcd/ca.crt
    cert: /etc/nodewise/etcd/node.crt
    key: /etc/nodewise/etcd/node.key
    member: n3
    peer_url: https://10.0.0.3:2380
    replace: true
    data_dir: /var/lib/nodewise/etcd
"""

RETURN = r"""
id:
  description: The member's id, in hexadecimal; null in check mode when it is yet to be added.
  returned: success
  type: str
removed:
  description: The id of the entry that was removed, with O(replace); null when there was none.
  returned: with O(replace)
  type: str
moved:
  description: Where a database that never took part was put, with O(replace).
  returned: with O(replace)
  type: str
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.change import add
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.recover import replace
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing


def main() -> None:
    spec = {**argument_spec(), **CHANGING}
    spec.update(
        member={"type": "str", "required": True},
        peer_url={"type": "str", "required": True},
        replace={"type": "bool", "default": False},
        data_dir={"type": "path"},
        deadline={"type": "float", "default": 15.0},
    )
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, required_if=[("replace", True, ["data_dir"])])
    changing(module, partial(replace if module.params["replace"] else add, module.params), "etcd_member")


if __name__ == "__main__":
    main()
