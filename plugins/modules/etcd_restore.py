#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_restore
short_description: Have a snapshot become an etcd member's data
version_added: "0.1.0"
description:
  - V(ready) verifies O(snapshot) by its SHA-256, by the digest that etcd appends and by its revision, and makes a member's data of
    it in a folder beside O(data_dir). The member goes on running.
  - V(placed) stops the member, moves its data aside to C(<data_dir>.before-restore-<stamp>), in O(data_dir) where that is a mount,
    and moves what was made ready in its place. The member is left stopped. Its data is never deleted.
  - All members have to be restored from the same snapshot, with the same O(token), before the first of them is started.
author:
  - Nodewise maintainers (@nodewise)
options:
  state:
    description: Which part.
    type: str
    choices: [ready, placed]
    required: true
  snapshot:
    description: The file on the node; it is removed once the data is in its place.
    type: path
    required: true
  sha256:
    description: Its SHA-256.
    type: str
    required: true
  revision:
    description: The revision that it holds.
    type: int
    required: true
  stamp:
    description: What the names of the folders end in; another for each restore.
    type: str
    required: true
  member:
    description: Name of the member.
    type: str
    required: true
  peer_url:
    description: Where its peers reach it.
    type: str
    required: true
  initial_cluster:
    description: All members with their peers' URLs, as etcd's C(initial-cluster) has it.
    type: str
    required: true
  token:
    description: What tells this cluster from any other; another for each restore.
    type: str
    required: true
  data_dir:
    description: The member's data folder.
    type: path
    required: true
  unit:
    description: The systemd unit.
    type: str
    required: true
  root:
    description: Folder of the system on the node, with the staged releases.
    type: path
    required: true
  version:
    description: The staged release whose tool makes the data.
    type: str
    required: true
  timeout_s:
    description: Seconds that stopping may take.
    type: float
    default: 60
extends_documentation_fragment:
  - nodewise.cluster.change
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Does nothing in check mode.
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
- name: Prepare the data beside the old data
  nodewise.cluster.etcd_restore:
    state: ready
    snapshot: /opt/nodewise/etcd/restore.db
    sha256: "{{ snapshot_sha256 }}"
    revision: 4711
    stamp: 20260101T100000Z
    member: n1
    peer_url: https://10.0.0.1:2380
    initial_cluster: n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380
    token: demo-20260101T100000Z
    data_dir: /var/lib/nodewise/etcd
    unit: etcd
    root: /opt/nodewise/etcd
    version: 3.4.23
"""

RETURN = r"""
ready:
  description: The folder with the data that was made ready.
  returned: with state ready
  type: str
revision:
  description: The revision that it holds.
  returned: with state ready
  type: int
keys:
  description: How many records it holds, etcd's own included.
  returned: with state ready
  type: int
kept:
  description: The folder with the data from before; null when there was none.
  returned: with state placed
  type: str
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.restore import make_ready, put_in_place
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing

_TEXTS = ("snapshot", "sha256", "stamp", "member", "peer_url", "initial_cluster", "token", "data_dir", "unit", "root", "version")
_PATHS = ("snapshot", "data_dir", "root")
SPEC = {
    "state": {"type": "str", "required": True, "choices": ["ready", "placed"]},
    "revision": {"type": "int", "required": True},
    "timeout_s": {"type": "float", "default": 60.0},
    "lease": {"type": "dict", "default": {}},
    # The token is no secret: it tells one cluster from another.
    **{name: {"type": "path" if name in _PATHS else "str", "required": True, "no_log": False} for name in _TEXTS},
}
PARTS = {"ready": make_ready, "placed": put_in_place}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    part = partial(PARTS[module.params["state"]], module.params)
    changing(module, lambda dry: {"changed": True} if dry else part(), "etcd_restore")


if __name__ == "__main__":
    main()
