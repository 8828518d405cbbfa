#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member_info
short_description: What there is of one etcd member, on its node and in the cluster
version_added: "0.1.0"
description:
  - Says whether the member serves, is down with its data there, or has no data on its node.
  - A member that is down with its data there is asked for at all the others; when they do not answer or do not list it the module
    fails and says what was found.
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: Name of the member; the module runs on its node.
    type: str
    required: true
  data_dir:
    description: Its data folder on the node.
    type: path
    required: true
extends_documentation_fragment:
  - nodewise.cluster.etcd
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Works in check mode as otherwise, as it changes nothing.
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
- name: See what there is of the member
  nodewise.cluster.etcd_member_info:
    members:
      - {name: n1, url: "https://10.0.0.1:2379"}
      - {name: n2, url: "https://10.0.0.2:2379"}
    ca: /etc/nodewise/etcd/ca.crt
    cert: /etc/nodewise/etcd/node.crt
    key: /etc/nodewise/etcd/node.key
    member: n2
    data_dir: /var/lib/nodewise/etcd
"""

RETURN = r"""
state:
  description: V(serving), V(stopped) (its data is there, and the others list it), or V(empty) (it has no data on this node).
  returned: success
  type: str
version:
  description: The version that it runs; null unless it serves.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.recover import look


def main() -> None:
    spec = argument_spec()
    spec.update(member={"type": "str", "required": True}, data_dir={"type": "path", "required": True})
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **look(module.params))
    except EtcdError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
