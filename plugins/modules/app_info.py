#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_info
short_description: Observe all members of a described service from one node
version_added: 0.2.0
description:
  - Asks every member at once whether it serves, which version its process runs, when that began and what state it has.
  - Nothing is changed. What could not be read is null, with an error.
options:
  settled:
    description: What to wait for, see docs/systems.md.
    type: dict
    default: {}
  deadline:
    description: Seconds to wait for it.
    type: float
    default: 30.0
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.app
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Changes nothing anyway.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Nodes are Linux hosts.
    platforms: linux
    support: full
"""

EXAMPLES = r"""
- name: Look at the service
  nodewise.cluster.app_info:
    members:
      - {name: n1, address: 10.0.0.1}
      - {name: n2, address: 10.0.0.2}
    questions:
      ready: {tcp: {port: 8080, host: "", send: ""}, timeout: 2}
"""

RETURN = r"""
observation:
  description:
    - What the members say, with C(system), C(at), C(cluster) and C(members). A described service has no quorum and no leader.
    - C(fingerprint) of a member is a digest of its state, in which lists may have any order.
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

from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import OPTIONS, observe, secret
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure


def main() -> None:
    spec = {**OPTIONS, "settled": {"type": "dict", "default": {}}, "deadline": {"type": "float", "default": 30.0}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.no_log_values = secret(module.params)
    try:
        module.exit_json(changed=False, **observe(module.params))
    except Failure as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
