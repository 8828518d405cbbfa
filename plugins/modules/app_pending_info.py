#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_pending_info
short_description: Read the migrations that a release would apply
version_added: 0.2.0
description:
  - Returns the SQL of each, as its tool prints it without a database, or why there is none.
  - Changes nothing.
options:
  schema:
    description: The database, and how its schema is changed, as the filter P(nodewise.cluster.app_schema#filter) returns it.
    type: dict
    required: true
  version:
    description: The release, which is staged on this node.
    type: str
    required: true
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Changes nothing anyway.
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
- name: Read what is to come
  nodewise.cluster.app_pending_info:
    schema: "{{ app_schema }}"
    version: 1.1.0
"""

RETURN = r"""
migrations:
  description: The C(phase), C(revision) and C(sql) of each, in order; C(gap) says why there is no SQL.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import secret
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.pending import pending
from ansible_collections.nodewise.cluster.plugins.module_utils.host.failure import Failure


def main() -> None:
    spec = {"schema": {"type": "dict", "required": True, "no_log": True}, "version": {"type": "str", "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.no_log_values = secret(module.params)
    try:
        module.exit_json(changed=False, migrations=pending(module.params))
    except Failure as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
