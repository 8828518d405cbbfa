#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_amcheck
short_description: Read all tables and indexes of a member, and find damage
version_added: "0.1.0"
description:
  - Runs C(pg_amcheck) on the node's own PostgreSQL, as its superuser, on all databases but templates. Every table is read, and
    every B-tree index is held against its table.
  - It fails where there is damage, and where it could not look.
  - C(pg_amcheck) needs the extension C(amcheck). On a primary it is made in the databases that do not have it, in the schema
    C(pg_catalog), and it stays. A replica waits until it has come from there.
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: The node's own member.
    type: str
    required: true
  deadline:
    description: Seconds that all of it may take.
    type: float
    default: 3600.0
extends_documentation_fragment:
  - nodewise.cluster.postgresql
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: The extension is not made; where it is missing, the module fails.
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
- name: Verify the data of this member in depth
  nodewise.cluster.postgresql_amcheck:
    member: n1
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
    bin_dir: /usr/lib/postgresql/15/bin
"""

RETURN = r"""
databases:
  description: What was read.
  returned: success
  type: list
  elements: str
installed:
  description: Databases that the extension was made in.
  returned: success
  type: list
  elements: str
seconds:
  description: How long that took.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError, argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.amcheck import Damaged, check

SPEC = {"member": {"type": "str", "required": True}, "deadline": {"type": "float", "default": 3600.0}}


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **SPEC}, supports_check_mode=True)
    try:
        found = check(module.params, may_install=not module.check_mode)
        module.exit_json(changed=bool(found["installed"]), **found)
    except (Damaged, PostgresqlError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
