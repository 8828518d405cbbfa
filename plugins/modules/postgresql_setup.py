#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_setup
short_description: Have what holds for a whole PostgreSQL cluster under Patroni
version_added: "0.1.0"
description:
  - Waits for a leader. On the node that leads it changes what differs; on any other it changes nothing.
  - Sets what Patroni keeps in the store (O(settings)); what is not named there is left alone.
  - Gives the roles their passwords, as verifiers of SCRAM-SHA-256, so that no password reaches the server or its log.
  - Makes the role O(user) with what it needs to look at the cluster, its database and in it the table C(nodewise.sentinel).
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: Name of this node's member.
    type: str
    required: true
  settings:
    description: Patroni's dynamic configuration, or part of it.
    type: dict
    default: {}
  passwords:
    description: Passwords by role. One of them is that of O(user). A role that is not there is made.
    type: dict
    required: true
  reload:
    description: Whether to have this node's Patroni read its configuration files again, when it answers.
    type: bool
    default: false
  deadline:
    description: Seconds in which a leader must be there.
    type: float
    default: 60.0
extends_documentation_fragment:
  - nodewise.cluster.postgresql
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Says what would be changed, and waits for no leader.
    support: full
  diff_mode:
    description: What changes may be secret.
    support: none
  platform:
    description: Nodes are Linux hosts.
    platforms: linux
    support: full
"""

EXAMPLES = r"""
- name: Have role, database and settings
  nodewise.cluster.postgresql_setup:
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
      - {name: n2, host: 10.0.0.2, rest: "https://10.0.0.2:8008"}
    ca: /etc/nodewise/postgresql/ca.crt
    cert: /etc/nodewise/postgresql/node.crt
    key: /etc/nodewise/postgresql/node.key
    rest_auth: /etc/nodewise/postgresql/rest
    bin_dir: /usr/lib/postgresql/15/bin
    member: n1
    settings: {ttl: 30, postgresql: {parameters: {max_connections: 200}}}
    passwords: {nodewise: "{{ vault_nodewise }}"}
"""

RETURN = r"""
leader:
  description: Who leads, as this node's Patroni says; null in check mode when nobody does.
  returned: success
  type: str
changes:
  description: What was changed, or would be in check mode, without values.
  returned: success
  type: list
  elements: str
  sample: [settings ttl, role nodewise, database nodewise]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import PostgresqlError, argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.setup import setup


def main() -> None:
    spec = argument_spec()
    spec.update(
        member={"type": "str", "required": True},
        settings={"type": "dict", "default": {}},
        passwords={"type": "dict", "required": True, "no_log": True},
        reload={"type": "bool", "default": False},
        deadline={"type": "float", "default": 60.0},
    )
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    # Of a dictionary no_log masks keys as well, which are names of roles.
    module.no_log_values = {word for word in module.params["passwords"].values() if isinstance(word, str) and word}
    try:
        result = setup(module.params, dry=module.check_mode)
    except PostgresqlError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
