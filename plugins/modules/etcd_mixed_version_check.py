#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_mixed_version_check
short_description: Check that etcd members of two versions serve one cluster
version_added: "0.1.0"
description:
  - Writes a key through each of O(old) and reads it through the first of O(new), linearizably and serializably, then the
    other way round. The keys are removed afterwards, also when that fails.
  - Without O(new) it leaves the key C(<prefix>before) for later calls, which read it through both. Without O(old) it reads that key
    through the new member, and removes it.
  - All keys have a lease, so that they go by themselves when nobody is left to remove them.
author:
  - Nodewise maintainers (@nodewise)
options:
  old:
    description: Names of members that run the old version. Each of them writes, the first reads.
    type: list
    elements: str
    default: []
  new:
    description: Names of members that run the new version. Each of them writes, the first reads.
    type: list
    elements: str
    default: []
  prefix:
    description: What the keys begin with, below C(/nodewise/) and ending in a slash.
    type: str
    required: true
  deadline:
    description: Seconds that the members may take to answer, as in an election; what they answer is not asked twice.
    type: float
    default: 10.0
extends_documentation_fragment:
  - nodewise.cluster.etcd
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Writes nothing in check mode, and checks nothing.
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
- name: Check that the upgraded member and the others serve one cluster
  nodewise.cluster.etcd_mixed_version_check:
    members:
      - {name: n1, url: "https://10.0.0.1:2379"}
      - {name: n2, url: "https://10.0.0.2:2379"}
    ca: /etc/nodewise/etcd/ca.crt
    cert: /etc/nodewise/etcd/node.crt
    key: /etc/nodewise/etcd/node.key
    old: [n2]
    new: [n1]
    prefix: /nodewise/proof/20260101-100000-upgrade-demo/
"""

RETURN = r"""
proved:
  description:
    - Each write that was read through the other version, with C(written) and C(read) (members), C(by) and C(with) (their versions).
  returned: success
  type: list
  elements: dict
before:
  description: True when what was written before the switch was read; null when nothing was written then.
  returned: success
  type: bool
seconds:
  description: How long it took on the node.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.mixed_versions import check_mixed_versions


def main() -> None:
    spec = argument_spec()
    spec.update(
        old={"type": "list", "elements": "str", "default": []},
        new={"type": "list", "elements": "str", "default": []},
        prefix={"type": "str", "required": True},
        deadline={"type": "float", "default": 10.0},
    )
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        module.exit_json(**check_mixed_versions(module.params, dry=module.check_mode))
    except EtcdError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
