#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_switch
short_description: Have a member's Patroni run from another release, while its PostgreSQL goes on
version_added: "0.1.0"
description:
  - Pauses the cluster, waits until the member's own Patroni knows, stops its unit, replaces the link, starts the unit, waits
    until the member shows the new version and runs (or streams) on the same timeline, and resumes the cluster.
  - Fails when PostgreSQL was restarted with it, or when another member leads afterwards.
  - The pause says which member it is for, in the key C(nodewise_paused) of Patroni's dynamic configuration. One that says so
    is gone on with, so that the same task run again ends what a killed one began. A pause of somebody else's is refused.
  - The cluster is resumed on every way out, except when the member is a primary whose Patroni does not start. Without the
    pause the others would make another primary beside it.
  - The unit must leave PostgreSQL alone when it is stopped (C(KillMode=process)).
author:
  - Nodewise maintainers (@nodewise)
options:
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
  root:
    description: Folder of Patroni's releases on the node.
    type: path
    required: true
  link:
    description: Link to the release in use. C(<root>/current) when not given.
    type: path
  version:
    description: Version to run; it must be staged.
    type: str
    required: true
  timeout_s:
    description: Seconds that all of it may take.
    type: float
    default: 60.0
  since:
    description:
      - Restart Patroni, and leave release and link alone, unless its process began after this moment, in seconds since the epoch
        by the node's clock; V(0) starts one that does not run.
    type: float
  lease_root:
    description: Folder of the system on the node, by which the change is fenced. O(root) when not given.
    type: path
extends_documentation_fragment:
  - nodewise.cluster.change
  - nodewise.cluster.postgresql
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Says whether Patroni would be restarted.
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
- name: Switch to the new Patroni
  nodewise.cluster.patroni_switch:
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
      - {name: n2, host: 10.0.0.2, rest: "https://10.0.0.2:8008"}
      - {name: n3, host: 10.0.0.3, rest: "https://10.0.0.3:8008"}
    ca: /etc/nodewise/postgresql/ca.crt
    cert: /etc/nodewise/postgresql/node.crt
    key: /etc/nodewise/postgresql/node.key
    passfile: /etc/nodewise/postgresql/pgpass
    rest_auth: /etc/nodewise/postgresql/rest
    member: n1
    data_dir: /var/lib/nodewise/postgresql
    root: /opt/nodewise/patroni
    lease_root: /opt/nodewise/postgresql
    version: 4.0.7
"""

RETURN = r"""
version:
  description: The version that the link leads to now.
  returned: success
  type: str
previous:
  description: The version that it led to before, or null when it led to none.
  returned: success
  type: str
postmaster:
  description: The process of PostgreSQL, which is the same before and after; null when it did not run.
  returned: success
  type: int
pid:
  description: The process of Patroni.
  returned: when it was restarted
  type: int
leader:
  description: Who leads, before and after.
  returned: when it was restarted
  type: str
timeline:
  description: The cluster's timeline, before and after.
  returned: when it was restarted
  type: int
without_s:
  description: Seconds that the member was without a working Patroni.
  returned: when it was restarted
  type: float
seconds:
  description: How long it took on the node.
  returned: success
  type: float
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.switch import change

SPEC = {
    "member": {"type": "str", "required": True},
    "unit": {"type": "str", "default": "patroni"},
    "data_dir": {"type": "path", "required": True},
    "root": {"type": "path", "required": True},
    "link": {"type": "path"},
    "version": {"type": "str", "required": True},
    "timeout_s": {"type": "float", "default": 60.0},
    "since": {"type": "float"},
    "lease_root": {"type": "path"},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **CHANGING, **SPEC}, supports_check_mode=True)
    changing(module, partial(change, module.params), f"patroni_switch to {module.params['version']}")


if __name__ == "__main__":
    main()
