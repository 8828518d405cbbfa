#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_restore
short_description: Have a base backup become the data of a PostgreSQL cluster
version_added: "0.1.0"
description:
  - V(ready) verifies O(backup) on the member O(lead), unpacks it beside O(data_dir), starts it as an instance that nobody reaches
    until it has recovered, and ends that in order. The cluster goes on running.
  - V(placed) stops the member, moves its data aside to C(<data_dir>.before-restore-<stamp>), and on O(lead) what was made ready in
    its place. The member is left stopped. Its data is never deleted.
  - V(forgotten) removes what Patroni's store knows of the cluster. Every member has to be stopped.
  - V(leading) waits until this member is the primary. The others, without data, copy it when they are started.
author:
  - Nodewise maintainers (@nodewise)
options:
  state:
    description: Which part.
    type: str
    choices: [ready, placed, forgotten, leading]
    required: true
  member:
    description: The node's own member.
    type: str
    required: true
  lead:
    description: The member that takes the data.
    type: str
    required: true
  backup:
    description: The file on the node; it is removed once the data is in its place.
    type: path
    required: true
  sha256:
    description: Its SHA-256.
    type: str
    required: true
  revision:
    description: How far it reaches, an LSN as a number.
    type: int
    required: true
  stamp:
    description: What the names of the folders end in; another for each restore.
    type: str
    required: true
  data_dir:
    description: The member's data folder.
    type: path
    required: true
  unit:
    description: The systemd unit, Patroni's.
    type: str
    required: true
  patroni:
    description: Folder of Patroni's modules.
    type: path
    required: true
  patroni_config:
    description: What Patroni is started with.
    type: path
    required: true
  root:
    description: Folder of the system on the node.
    type: path
    required: true
  timeout_s:
    description: Seconds that a part may take.
    type: float
    default: 3600.0
extends_documentation_fragment:
  - nodewise.cluster.change
  - nodewise.cluster.postgresql
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
- name: Recover the backup beside the data
  nodewise.cluster.postgresql_restore:
    state: ready
    members:
      - {name: n1, host: 10.0.0.1, rest: "https://10.0.0.1:8008"}
    bin_dir: /usr/lib/postgresql/15/bin
    member: n1
    lead: n1
    backup: /opt/nodewise/postgresql/restore.tgz
    sha256: "{{ backup_sha256 }}"
    revision: 83886336
    stamp: 20260101T100000Z
    data_dir: /var/lib/nodewise/postgresql/data
    unit: patroni
    patroni: /opt/nodewise/patroni/current/files
    patroni_config: /etc/nodewise/postgresql/patroni.d
    root: /opt/nodewise/postgresql
"""

RETURN = r"""
ready:
  description: The folder with what was made ready; null on a member that does not take the data.
  returned: with state ready
  type: str
kept:
  description: The folder with the data from before; null when there was none.
  returned: with state placed
  type: str
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.access import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.postgresql.restore import forget, lead, make_ready, put_in_place

PARTS = {"ready": make_ready, "placed": put_in_place, "forgotten": forget, "leading": lead}
SPEC = {
    "state": {"type": "str", "required": True, "choices": list(PARTS)},
    "revision": {"type": "int", "required": True},
    "timeout_s": {"type": "float", "default": 3600.0},
    "lease": {"type": "dict", "default": {}},
    **{name: {"type": "str", "required": True} for name in ("member", "lead", "sha256", "stamp", "unit")},
    **{name: {"type": "path", "required": True} for name in ("backup", "data_dir", "patroni", "patroni_config", "root")},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**argument_spec(), **SPEC}, supports_check_mode=True)
    part = partial(PARTS[module.params["state"]], module.params)
    changing(module, lambda dry: {"changed": True} if dry else part(), "postgresql_restore")


if __name__ == "__main__":
    main()
