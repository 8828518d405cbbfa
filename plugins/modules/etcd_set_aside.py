#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_set_aside
short_description: Stop an etcd member that became a cluster of its own, and keep its data
version_added: 0.2.0
description:
  - Stops the unit, and moves the data that its process had open aside to C(<data folder>.apart-<stamp>), whatever folder that was.
    The unit is left stopped. No data is deleted, as it has what clients wrote to this member alone.
author:
  - Nodewise maintainers (@nodewise)
options:
  unit:
    description: The systemd unit.
    type: str
    required: true
  stamp:
    description: What the name of the folder ends in.
    type: str
    required: true
  etcdctl:
    description: Tells which revision the data reaches.
    type: path
    required: true
  timeout_s:
    description: Seconds that stopping may take before the unit's processes are killed.
    type: float
    default: 60
extends_documentation_fragment:
  - nodewise.cluster.change
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Says where the data would be.
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
- name: Stop the member, and keep what it took
  nodewise.cluster.etcd_set_aside:
    unit: etcd
    stamp: 20260101T100000Z
    etcdctl: /opt/nodewise/etcd/current/bin/etcdctl
"""

RETURN = r"""
kept:
  description: The folder with the data.
  returned: success
  type: str
revision:
  description: The revision that the data reaches; null when it could not be read.
  returned: success
  type: int
keys:
  description: How many records it holds, etcd's own included; null when they could not be read.
  returned: success
  type: int
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.apart import set_aside
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS, changing

SPEC = {
    **OPTIONS,
    "unit": {"type": "str", "required": True},
    "stamp": {"type": "str", "required": True},
    "etcdctl": {"type": "path", "required": True},
    "timeout_s": {"type": "float", "default": 60.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    changing(module, partial(set_aside, module.params), "etcd_set_aside")


if __name__ == "__main__":
    main()
