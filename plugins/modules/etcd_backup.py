#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_backup
short_description: Save and verify a snapshot of an etcd member
version_added: "0.1.0"
description:
  - Saves a snapshot from O(member) to a file of the node and proves that it is whole, by the digest that etcd appends, by
    reading it as etcd does, and by its revision, which must be one that the member had while it was saved.
  - A snapshot that fails leaves nothing behind. Older snapshots in the same folder are removed once the new one is good.
author:
  - Nodewise maintainers (@nodewise)
options:
  member:
    description: The member to save from.
    type: str
    required: true
  etcdctl:
    description: The C(etcdctl) of a staged release, on the node; from 3.5 on C(etcdutl) is expected beside it.
    type: path
    required: true
  path:
    description: File to save to, on the node; its name ends in C(.db). The folder is made when it is missing.
    type: path
    required: true
  owner:
    description:
      - User on the node that may read the file. Without it the user that privileges were escalated from by C(sudo).
    type: str
  deadline:
    description: Seconds that saving may take.
    type: float
    default: 300.0
extends_documentation_fragment:
  - nodewise.cluster.etcd
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Saves nothing in check mode, and says that it would.
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
- name: Save a snapshot
  nodewise.cluster.etcd_backup:
    members:
      - {name: n1, url: "https://10.0.0.1:2379"}
    ca: /etc/nodewise/etcd/ca.crt
    cert: /etc/nodewise/etcd/node.crt
    key: /etc/nodewise/etcd/node.key
    etcdctl: /opt/nodewise/etcd/current/bin/etcdctl
    member: n1
    path: /opt/nodewise/etcd/backups/before-3.5.16.db
"""

RETURN = r"""
path:
  description: The file on the node.
  returned: success
  type: str
sha256:
  description: Its SHA-256.
  returned: when saved
  type: str
size:
  description: Its size in bytes.
  returned: when saved
  type: int
revision:
  description: The revision that it holds.
  returned: when saved
  type: int
keys:
  description: How many records it holds, etcd's own included.
  returned: when saved
  type: int
seconds:
  description: How long it took on the node.
  returned: when saved
  type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.api import argument_spec
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.ctl import EtcdError
from ansible_collections.nodewise.cluster.plugins.module_utils.etcd.snapshot import save
from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import FilesError


def main() -> None:
    spec = argument_spec()
    spec.update(
        etcdctl={"type": "path", "required": True},
        member={"type": "str", "required": True},
        path={"type": "path", "required": True},
        owner={"type": "str"},
        deadline={"type": "float", "default": 300.0},
    )
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=True, path=module.params["path"])
    try:
        module.exit_json(changed=True, **save(module.params))
    except (EtcdError, FilesError) as error:
        module.fail_json(msg=f"{error}; nothing was kept")
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}; nothing was kept")


if __name__ == "__main__":
    main()
