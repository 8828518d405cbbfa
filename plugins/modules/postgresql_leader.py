#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_leader
short_description: Hand the primary's role of a Patroni cluster to a named member
version_added: "0.1.0"
description:
  - Asks Patroni for a switchover from O(member) to O(candidate), and believes it when the members show it. Patroni's
    C(/cluster) has the candidate as the leader, the candidate is out of recovery on the next timeline, and O(member) is its
    streaming replica again.
  - How Patroni answers the request proves nothing, and is only returned. What did not happen, what is not at its end, and
    another leader than the one asked for fail, each with its own words.
  - Nothing is asked when the candidate does not stream, is behind, may not take over, or when the cluster is paused.
  - A checkpoint is written before, so that the writers do not wait for it.
  - Changes nothing when O(candidate) leads already.
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: The member that leads and is to hand over; the module runs on its node.
    type: str
    required: true
  candidate:
    description: The member that takes over.
    type: str
    required: true
  deadline:
    description: Seconds in which the candidate must lead and O(member) must stream from it.
    type: float
    default: 60.0
  drain_s:
    description:
      - Seconds that transactions which are under way on the primary get to end before the switchover, which cuts them off.
    type: float
    default: 10.0
  terminate:
    description:
      - Whether to cut off transactions that do not end in that time. Otherwise the module fails, and says whose they are.
    type: bool
    default: false
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
    description: Says whether the role would move.
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
- name: Hand over to an upgraded member
  nodewise.cluster.postgresql_leader:
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
    candidate: n2
"""

RETURN = r"""
leader:
  description: Who leads now.
  returned: success
  type: str
previous:
  description: Who led before, when the role moved.
  returned: success
  type: str
timeline:
  description: The timeline that the new primary writes on, when the role moved.
  returned: success
  type: int
answer:
  description: How Patroni answered the request, when it was made. That may be anything.
  returned: success
  type: str
  sample: answered 200 'Successfully switched over to "n2"'
terminated:
  description:
    - Sessions that were cut off, each with what C(pg_stat_activity) said of it (pid, user, application, client, state,
      age_s).
  returned: success
  type: list
  elements: dict
switch_s:
  description: Seconds from the request until both members had their new roles.
  returned: success
  type: float
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
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.handover import hand_over
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.info import OPTIONS, observe_after

SPEC = {
    "member": {"type": "str", "required": True},
    "candidate": {"type": "str", "required": True},
    "deadline": {"type": "float", "default": 60.0},
    "drain_s": {"type": "float", "default": 10.0},
    "terminate": {"type": "bool", "default": False},
    "settled": {"type": "dict"},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **OPTIONS, **CHANGING, **SPEC}, supports_check_mode=True)
    changing(module, partial(hand_over, module.params), "postgresql_leader", after=observe_after)


if __name__ == "__main__":
    main()
