#!/usr/bin/python
# Copyright: Nodewise contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Add a member to an etcd cluster
version_added: "0.1.0"
description:
  - Adds O(member) to the cluster that the others of O(members) form. It is to be started afterwards, with an empty data folder.
  - Changes nothing when it is a member already, and refuses while one of the others does not answer.
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
extends_documentation_fragment:
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
"""

RETURN = r"""
id:
  description: The member's id, in hexadecimal; null in check mode when it is yet to be added.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd_api import EtcdError, argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd_change import add


def main() -> None:
    spec = argument_spec()
    spec.update({"member": {"type": "str", "required": True}, "peer_url": {"type": "str", "required": True}})
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        module.exit_json(**add(module.params, dry=module.check_mode))
    except EtcdError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
