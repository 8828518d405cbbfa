#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_schema
short_description: Have a release change the schema of its database
version_added: 0.2.0
description:
  - Runs the command of a phase as the service's user, under a lease of the database, and with a lock timeout.
  - A command that a lock was in the way of is tried again, later each time. What blocked it is named.
  - Fails where the command ends well and the database does not have the revisions that the release ships.
options:
  schema:
    description: The database, and how its schema is changed, as the filter P(nodewise.cluster.app_schema#filter) returns it.
    type: dict
    required: true
  phase:
    description: C(expand), before the first member is changed, or C(contract), after the last.
    type: str
    choices: [expand, contract]
    required: true
  version:
    description: The release, which is staged on this node.
    type: str
    required: true
  deadline:
    description: Seconds to wait for others that change this node.
    type: float
    default: 60.0
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.change
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Runs nothing, and says whether it would.
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
- name: Add to the schema
  nodewise.cluster.app_schema:
    schema: "{{ app_schema }}"
    phase: expand
    version: 1.1.0
"""

RETURN = r"""
tries:
  description: How often the command was run; 0 where the database has all that it ships.
  returned: success
  type: int
timeout_seen:
  description: Whether a session of the command was seen to have the environment by which the lock timeout reaches it.
  returned: success
  type: bool
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import secret
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.migrate import perform
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing

SPEC = {
    "schema": {"type": "dict", "required": True, "no_log": True},
    "phase": {"type": "str", "choices": ["expand", "contract"], "required": True},
    "version": {"type": "str", "required": True},
    "deadline": {"type": "float", "default": 60.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**CHANGING, **SPEC}, supports_check_mode=True)
    module.no_log_values = secret(module.params)
    changing(module, partial(perform, module.params), module.params["phase"])


if __name__ == "__main__":
    main()
