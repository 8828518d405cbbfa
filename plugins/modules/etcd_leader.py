#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_leader
short_description: Move leadership of an etcd cluster away from one member
version_added: "0.1.0"
description:
  - Hands leadership to a candidate when O(member) leads, and waits until the members agree that the candidate does.
  - Changes nothing when O(member) does not lead.
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: The member that should not lead.
    type: str
    required: true
  candidates:
    description:
      - Who may take over; the first that answers and is no learner does. Empty means any other member.
    type: list
    elements: str
    default: []
  deadline:
    description: Seconds in which the members must agree on the new leader.
    type: float
    default: 10.0
extends_documentation_fragment:
  - nodewise.cluster.change
  - nodewise.cluster.etcd
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Says whether leadership would move, and to whom.
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
- name: Move leadership away from this node before it is stopped
  nodewise.cluster.etcd_leader:
    members:
      - {name: n1, url: "https://10.0.0.1:2379"}
      - {name: n2, url: "https://10.0.0.2:2379"}
      - {name: n3, url: "https://10.0.0.3:2379"}
    ca: /etc/nodewise/etcd/ca.crt
    cert: /etc/nodewise/etcd/node.crt
    key: /etc/nodewise/etcd/node.key
    member: n1
    candidates: [n2]
"""

RETURN = r"""
leader:
  description: Who leads now; null when nobody could be asked.
  returned: always
  type: str
previous:
  description: Who led before, when leadership moved.
  returned: always
  type: str
seconds:
  description: How long it took on the node.
  returned: always
  type: float
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.change import hand_over
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing


def main() -> None:
    spec = {**argument_spec(), **CHANGING}
    spec.update(
        member={"type": "str", "required": True},
        candidates={"type": "list", "elements": "str", "default": []},
        deadline={"type": "float", "default": 10.0},
    )
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    changing(module, partial(hand_over, module.params), "etcd_leader")


if __name__ == "__main__":
    main()
