#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_act
short_description: Do something to a member of a described service, and wait until it shows
version_added: 0.2.0
description:
  - Drains a member, brings it back, or bootstraps a cluster, as its description says.
  - Acts one after the other, and fails with the act that failed; then waits until every question of O(until) has its answer.
options:
  what:
    description: What this is, in a few words for errors.
    type: str
    required: true
  act:
    description: What to do, as the filter P(nodewise.cluster.app_described#filter) returns it.
    type: list
    elements: dict
    default: []
  until:
    description: What must hold then.
    type: list
    elements: dict
    default: []
  once:
    description:
      - Whether O(until) is asked first, and nothing is done where it holds. An act that fails is then tried until the deadline.
    type: bool
    default: false
  deadline:
    description: Seconds in which O(until) must hold.
    type: float
    default: 60.0
  member:
    description: The member, with C(name) and C(address).
    type: dict
    required: true
  places:
    description: Folders by the names that stand for them in questions, C(bin), C(data) and C(config).
    type: dict
    default: {}
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.change
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Does nothing, and says whether it would.
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
- name: Take the member out of service
  nodewise.cluster.app_act:
    what: drain
    act:
      - {file: {path: /run/greeter/drain, present: true}, timeout: 2}
    member: {name: n1, address: 10.0.0.1}
"""

RETURN = r"""
seconds:
  description: How long it took on the node.
  returned: success
  type: float
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.app.acting import perform
from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import secret
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing

SPEC = {
    "what": {"type": "str", "required": True},
    "act": {"type": "list", "elements": "dict", "default": [], "no_log": True},
    "until": {"type": "list", "elements": "dict", "default": [], "no_log": True},
    "once": {"type": "bool", "default": False},
    "deadline": {"type": "float", "default": 60.0},
    "member": {"type": "dict", "required": True},
    "places": {"type": "dict", "default": {}},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**CHANGING, **SPEC}, supports_check_mode=True)
    module.no_log_values = secret(module.params)
    changing(module, partial(perform, module.params), module.params["what"])


if __name__ == "__main__":
    main()
