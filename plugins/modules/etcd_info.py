#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_info
short_description: Observe a whole etcd cluster from one node
version_added: "0.1.0"
description:
  - Asks all expected members at once, over TLS with the node's own certificate, and returns one observation of the cluster.
  - Compares the data of the members with C(etcdctl endpoint hashkv) at one revision, the lowest that any of them has.
  - With O(settled) it polls on the node until everything named there is so, or O(deadline) has passed; what is then still missing
    is returned, and is no failure of the module.
  - Never changes anything, not even the raft log.
author:
  - Nodewise maintainers (@nodewise)
options:
  settled:
    description:
      - What to wait for. V(members) (names), V(serving), V(leader), V(fingerprint) (true), V(versions) (name to version),
        V(max_lag) (a number), V(cluster_version).
    type: dict
    default: {}
  deadline:
    description: Seconds after which waiting ends. Without O(settled) the cluster is observed once.
    type: float
    default: 30.0
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
- name: Observe the cluster
  nodewise.cluster.etcd_info:
    members:
      - {name: n1, url: "https://10.0.0.1:2379"}
      - {name: n2, url: "https://10.0.0.2:2379"}
      - {name: n3, url: "https://10.0.0.3:2379"}
    ca: /etc/nodewise/etcd/ca.crt
    cert: /etc/nodewise/etcd/node.crt
    key: /etc/nodewise/etcd/node.key
    etcdctl: /opt/nodewise/etcd/current/bin/etcdctl
    settled: {serving: true, leader: true, fingerprint: true}
"""

RETURN = r"""
observation:
  description:
    - What the cluster says about itself, with C(system), C(at), C(cluster) and C(members). What is unknown is null, with an error.
    - C(cluster) has C(id), C(version) (the minor that the cluster acts as), C(leader), C(quorum), C(fingerprint), C(fingerprint_at)
      (the revision at which it was compared) and C(alarms).
    - Each of C(members) has C(name), C(version), C(role), C(serving) (a linearizable read through it succeeded), C(lag) (entries
      still to apply), C(fingerprint) (hash@compact revision), C(started_at) and C(errors).
  returned: always
  type: dict
missing:
  description: One line for each thing in O(settled) that is not so.
  returned: always
  type: list
  elements: str
polls:
  description: How many times the members were asked.
  returned: always
  type: int
seconds:
  description: How long that took on the node.
  returned: always
  type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.info import observe
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure


def main() -> None:
    spec = argument_spec()
    spec.update(settled={"type": "dict", "default": {}}, deadline={"type": "float", "default": 30.0})
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **observe(module.params))
    except Failure as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
