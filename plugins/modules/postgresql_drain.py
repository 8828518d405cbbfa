#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_drain
short_description: Take a PostgreSQL replica out of use before it is stopped, and put it back
version_added: "0.1.0"
description:
  - V(drained) gives the member's Patroni the tags C(nofailover), C(noloadbalance) and C(nosync), and C(nodewise_unfinished),
    by which everybody sees that the member is in the middle of a change. It waits until Patroni shows them and answers
    C(/replica) with 503.
  - Then sessions that do nothing are ended, the others have O(drain_s) to end what they do, and a checkpoint is written.
  - Replication, Patroni's own sessions and those of Nodewise are left alone. A primary is refused.
  - V(back) writes a row through the primary and reads it on this member, and then has the tags be what they were before.
  - What the tags were is kept in O(tags_file) itself, and is not overwritten by a second V(drained).
author:
  - Nodewise maintainers (@nodewise)
options:
  state:
    description: Which of the two.
    type: str
    choices: [drained, back]
    required: true
  member:
    description: The member; the module runs on its node.
    type: str
    required: true
  tags_file:
    description:
      - The file of Patroni's configuration folder that has the tags and nothing else. It is read as YAML, and is to the letter what
        it was when the member is back.
    type: path
    required: true
  run:
    description: What the row that is written through the primary says of who wrote it.
    type: str
    default: nodewise
  deadline:
    description: Seconds that Patroni may take to show the tags, and the row to arrive.
    type: float
    default: 60.0
  drain_s:
    description: Seconds that sessions get to end what they do.
    type: float
    default: 10.0
  terminate:
    description:
      - Whether to cut off sessions that do not end it in that time. Otherwise the module fails, and says whose they are.
    type: bool
    default: true
  settled:
    description:
      - When given, the cluster is observed afterwards, as by M(nodewise.cluster.postgresql_info), until what is named here is so or
        O(deadline) has passed. The result has C(observation) and C(missing) then, too.
    type: dict
extends_documentation_fragment:
  - nodewise.cluster.change
  - nodewise.cluster.postgresql
  - nodewise.cluster.postgresql_observed
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Says whether the tags would be changed; a primary is refused then, too.
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
- name: Take the replica out of use
  nodewise.cluster.postgresql_drain:
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
      - {name: n2, host: 10.0.0.2, rest: "https://10.0.0.2:8008"}
      - {name: n3, host: 10.0.0.3, rest: "https://10.0.0.3:8008"}
    ca: /etc/nodewise/postgresql/ca.crt
    cert: /etc/nodewise/postgresql/node.crt
    key: /etc/nodewise/postgresql/node.key
    passfile: /etc/nodewise/postgresql/pgpass
    rest_auth: /etc/nodewise/postgresql/rest
    state: drained
    member: n2
    tags_file: /etc/nodewise/postgresql/patroni.d/90-tags.yml
"""

RETURN = r"""
tags:
  description: The tags that the file has now, or would have.
  returned: success
  type: dict
idle:
  description:
    - Sessions that did nothing and were ended, each with what C(pg_stat_activity) said of it (pid, user, application, client,
      state, age_s).
  returned: with state drained
  type: list
  elements: dict
terminated:
  description: Sessions that were cut off in the middle of something, in the same form.
  returned: with state drained
  type: list
  elements: dict
sentinel:
  description: The row that was read on the member, with the primary that it was written through. Null in check mode.
  returned: with state back
  type: dict
observation:
  description: As M(nodewise.cluster.postgresql_info) returns it.
  returned: when O(settled) was given
  type: dict
missing:
  description: One line for each thing in O(settled) that is not so.
  returned: when O(settled) was given
  type: list
  elements: str
polls:
  description: How many times the members were asked for it.
  returned: when O(settled) was given
  type: int
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
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.drain import drain, rejoin
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.info import OPTIONS, observe_after

SPEC = {
    "state": {"type": "str", "required": True, "choices": ["drained", "back"]},
    "member": {"type": "str", "required": True},
    "tags_file": {"type": "path", "required": True},
    "run": {"type": "str", "default": "nodewise"},
    "deadline": {"type": "float", "default": 60.0},
    "drain_s": {"type": "float", "default": 10.0},
    "terminate": {"type": "bool", "default": True},
    "settled": {"type": "dict"},
}
PARTS = {"drained": drain, "back": rejoin}


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **OPTIONS, **CHANGING, **SPEC}, supports_check_mode=True)
    changing(module, partial(PARTS[module.params["state"]], module.params), "postgresql_drain", after=observe_after)


if __name__ == "__main__":
    main()
