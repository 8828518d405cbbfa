#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fault
short_description: Inject a fault on a test host, or heal it
version_added: 0.1.0
description:
  - Injects a fault of one host, such as V(pause) or V(slow_network), and returns when it is proved to be in effect. The host
    holds it, and heals it by itself when O(seconds) are over.
  - With O(state=absent) heals it now, and returns when that is proved.
  - A host that is not marked as a test host, by a file C(/etc/testnet), is refused by the module on that host.
  - A fault of a scenario that has the same name is left alone.
options:
  name:
    description: Its name, on the host and in records; a-z, 0-9 and C(-).
    type: str
    required: true
  kind:
    description: Which fault, by the names in C(docs/simulation.md). Those that are about several hosts are for scenarios alone.
    type: str
    required: true
  state:
    description: Whether the host holds it.
    type: str
    choices: [present, absent]
    default: present
  seconds:
    description: How long the host holds it, from now, unless it is healed before.
    type: float
    default: 60
  unit:
    description: The systemd unit that it is about, where it is about a service.
    type: str
    default: ''
  peers:
    description: Other hosts of the cluster by name, with their addresses. A network is slow between this host and those.
    type: dict
    default: {}
  fields:
    description: The other fields of the fault, such as C(delay), as a scenario has them. The target is this host.
    type: dict
    default: {}
  script:
    description: What this host runs. The action sets it; a task must not.
    type: str
    default: ''
author:
  - Nodewise maintainers (@nodewise)
requirements:
  - The Python package nodewise, on the controller.
attributes:
  check_mode:
    description: Says whether it would be injected or healed, and whether the host could do it.
    support: full
  diff_mode:
    description: Shows no diff.
    support: none
"""

EXAMPLES = r"""
- name: Let the service stand still for a minute at most
  nodewise.cluster.fault:
    name: still
    kind: pause
    unit: etcd

- name: Have all that comes from the others come late
  nodewise.cluster.fault:
    name: late
    kind: slow_network
    peers: {n2: 10.0.0.2, n3: 10.0.0.3}
    fields: {delay: 80ms, jitter: 20ms}

- name: Let the service go on
  nodewise.cluster.fault:
    name: still
    kind: pause
    unit: etcd
    state: absent
"""

RETURN = r"""
evidence:
  description: What showed that it was in effect, or that it was healed.
  returned: changed, and not in check mode
  type: str
  sample: the service stands still on n1 (frozen 1)
"""

import os
import subprocess

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.program import environment

MARK = "/etc/testnet"  # what only test hosts have
LONGEST = 120  # seconds that a script may take
SPEC = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "seconds": {"type": "float", "default": 60},
    "unit": {"type": "str", "default": ""},
    "peers": {"type": "dict", "default": {}},
    "fields": {"type": "dict", "default": {}},
    "script": {"type": "str", "default": ""},
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    if not os.path.exists(MARK):
        module.fail_json(msg=f"this is no test host: it has no {MARK}; a fault is for test hosts alone")
    try:
        done = subprocess.run(
            ["sh", "-s"],
            env=environment(),
            input=module.params["script"],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        module.fail_json(msg=f"the host was not done within {LONGEST} s")
    if done.returncode:
        module.fail_json(msg=done.stderr.strip() or f"exit code {done.returncode}")
    module.exit_json(changed=False, stdout=done.stdout.strip())


if __name__ == "__main__":
    main()
