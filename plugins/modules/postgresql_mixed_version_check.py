#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_mixed_version_check
short_description: Check that PostgreSQL members of two versions serve one cluster
version_added: "0.1.0"
description:
  - Writes a row through whoever is the primary, and reads it on the first of O(old) and the first of O(new) once they have
    replayed it.
  - Rows older than 30 days are removed as a new one is written.
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: The member whose node the module runs on.
    type: str
    required: true
  old:
    description: Names of members that run the old version; the first is used.
    type: list
    elements: str
    default: []
  new:
    description: Names of members that run the new version; the first is used.
    type: list
    elements: str
    default: []
  run:
    description: What the row says of who wrote it.
    type: str
    default: nodewise
  deadline:
    description: Seconds that the row may take until it is there.
    type: float
    default: 10.0
extends_documentation_fragment:
  - nodewise.cluster.postgresql
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
  nodewise.cluster.postgresql_mixed_version_check:
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
    old: [n2]
    new: [n1]
    run: 20260101-100000-upgrade-demo
"""

RETURN = r"""
proved:
  description: What was read, with C(written) and C(read) (members), C(by) and C(with) (their versions).
  returned: success
  type: list
  elements: dict
seconds:
  description: How long it took on the node.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError, argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.sentinel import check_mixed_versions

SPEC = {
    "member": {"type": "str", "required": True},
    "old": {"type": "list", "elements": "str", "default": []},
    "new": {"type": "list", "elements": "str", "default": []},
    "run": {"type": "str", "default": "nodewise"},
    "deadline": {"type": "float", "default": 10.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **SPEC}, supports_check_mode=True)
    try:
        module.exit_json(**check_mixed_versions(module.params, dry=module.check_mode))
    except PostgresqlError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
