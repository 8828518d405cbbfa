#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lease
short_description: One operator at a time over a whole cluster
version_added: 0.1.0
description:
  - Takes, keeps and gives back the lease on one node. It lies in C(<root>/state.json), with a holder, an expiry by the node's
    own clock, and a number that rises with each holder. The modules that upgrade a node ask for it.
  - Whoever has the lease of every node may change the cluster. That another run has it is no failure. It is returned as data.
  - The record of the upgrade is kept beside it, so that another controller finds what was there before the first change.
  - In a play, the action of the same name fills in what it can from the current run and from M(nodewise.cluster.node_info), and
    sets the fact C(nodewise_lease) (run, fence, ttl, expires, granted, holder, says), which the modules that change a node take as
    their O(nodewise.cluster.release_switch#module:lease).
options:
  state:
    description:
      - V(taken) is granted where nobody holds it, where it has expired, and where its holder is in O(over).
      - V(judged) looks at what all members answered and ends the run as refused unless all of them are ours. It runs on the
        controller, once. Where more than half of them are ours, but not all, it sets the fact C(nodewise_lease_again)
        to the names of the others instead, the first time, so that they are asked again. A play without a record is not ended, but
        gets the facts C(nodewise_halted) and C(nodewise_refused).
      - V(refused) fails with what was found by V(judged), in a play without a record. It runs on the controller, once.
      - V(kept) renews it. On the controller, nothing is done while more than half of O(ttl) is left.
      - V(released) gives it back, with how the upgrade ended.
      - V(withdrawn) gives it back as if it had never been taken, number included.
      - V(confirmed) fails, and says who holds the cluster, unless O(run) is a holder's. It runs on the controller, once.
      - V(broken) takes it away from O(run), and has the number rise, so that whatever O(run) still tries is refused.
    type: str
    choices: [taken, judged, kept, released, withdrawn, refused, confirmed, broken]
    required: true
  root:
    description: Folder of the system on the node, such as C(/opt/nodewise/etcd). In a play, that of C(nodewise_node).
    type: path
  run:
    description: Whose lease it is. In a play, the current run.
    type: str
  who:
    description: The operator, told to others. In a play, user and host.
    type: str
    default: ''
  controller:
    description: Which process it is taken for (boot, pids, pid, began). In a play, ansible-playbook.
    type: dict
    default: {}
  fence:
    description: Its number. In a play, one more than the highest that a member has.
    type: int
    default: 0
  ttl:
    description: Seconds that it is good for. In a play, four times the deadline of a step, and 300 at least.
    type: float
  seconds:
    description: Seconds that it is renewed for beyond O(ttl), for something that takes long.
    type: float
    default: 0
  over:
    description: Runs whose process is known to be gone. In a play, those that ran on this very controller and are gone.
    type: list
    elements: str
    default: []
  upgrade:
    description:
      - The record to keep (plan, kind, to, path, from, cluster_version). One of the same kind and target that did not end stays.
      - In a play, it follows from the plan of the run.
    type: dict
    default: {}
  outcome:
    description: How the upgrade ended. In a play, as the run was concluded.
    type: str
  reason:
    description: Why it ended so.
    type: str
  wait_s:
    description: Seconds to wait for a holder that is about to give it back.
    type: float
    default: 0
author:
  - Nodewise maintainers (@nodewise)
attributes:
  check_mode:
    description: Does nothing.
    support: full
  diff_mode:
    description: Shows no diff.
    support: none
"""

EXAMPLES = r"""
- name: Take the cluster
  nodewise.cluster.lease:
    state: taken

- name: Refuse to go on unless it is ours
  nodewise.cluster.lease: {state: judged}
  run_once: true
"""

RETURN = r"""
granted:
  description: Whether it was ours and was changed as asked for.
  returned: success
  type: bool
holder:
  description: The lease that stands in the way, with C(expires_at), or null.
  returned: success
  type: dict
says:
  description: Why it was not granted.
  returned: success
  type: str
state:
  description: All that the node keeps (fence, lease, upgrade).
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.lock import LockError
from ansible_collections.nodewise.cluster.plugins.module_utils.node.state import CHANGES, StateError, change

LOCK_S = 60.0  # a change that is under way goes on when its controller dies, and ends
SPEC = {
    "state": {
        "type": "str",
        "required": True,
        "choices": [*("taken", "judged", "kept", "released", "withdrawn", "refused", "confirmed", "broken")],
    },
    "root": {"type": "path"},
    "run": {"type": "str"},
    "who": {"type": "str", "default": ""},
    "controller": {"type": "dict", "default": {}},
    "fence": {"type": "int", "default": 0},
    "ttl": {"type": "float"},
    "seconds": {"type": "float", "default": 0.0},
    "over": {"type": "list", "elements": "str", "default": []},
    "upgrade": {"type": "dict", "default": {}},
    "outcome": {"type": "str"},
    "reason": {"type": "str"},
    "wait_s": {"type": "float", "default": 0.0},
}


def main() -> None:
    needed = [("state", state, ("root", "run")) for state in CHANGES]
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True, required_if=[*needed, ("state", "taken", ("ttl",))])
    given = module.params
    if given["state"] not in CHANGES:
        module.fail_json(msg=f"{given['state']} is for the controller: use the action of this name in a play")
    if module.check_mode:
        module.exit_json(changed=False, skipped=True)
    try:
        module.exit_json(**change(given["root"], given["state"], given, LOCK_S))
    except (LockError, StateError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
