#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: node_info
short_description: What one node says of itself, in one task
version_added: 0.1.0
description:
  - Reads releases, unit, disk, clock and certificates of a node. Nothing is changed.
  - What could not be read is null, and named in C(errors). It is never 0 or an empty string.
  - In a play, the answer is also the fact C(nodewise_node).
options:
  root:
    description: Folder of the system on the node, such as C(/opt/nodewise/etcd).
    type: path
    required: true
  link:
    description: Link to the release in use. C(<root>/current) when not given.
    type: path
  unit:
    description: The systemd unit to look at. It must exist.
    type: str
  data_dir:
    description: The data folder to measure. It must exist.
    type: path
  data_room:
    description: Whether an upgrade needs as much room again beside the data.
    type: bool
    default: true
  certificates:
    description: Paths of certificates (PEM) whose end is wanted.
    type: list
    elements: path
    default: []
  config:
    description:
      - Paths of what the unit's process reads when it begins, besides the files that its command, its environment and their
        configuration name. Those that do not exist are passed over.
    type: list
    elements: path
    default: []
  reread:
    description:
      - What the process reads again by itself whenever it changes, so that a change is none for a restart. Paths, and ends of the
        names of settings that name such files (V(cert-file) is also C(ETCD_PEER_CERT_FILE)).
    type: list
    elements: str
    default: []
  through:
    description: The link that the unit's ExecStart has to go through. That of O(link) when not given.
    type: path
  begins:
    description:
      - How an ExecStart that goes through the link begins, for the line that is to be written in place of another one.
        C(<link>/bin/<its program>) when not given.
    type: str
  components:
    description: Folders of parts of the system that have releases of their own, by name.
    type: dict
    default: {}
  packages:
    description:
      - Names of packages to ask the node's package manager for. With V(name=version) the index of what is offered is fetched anew
        when it lacks that version. The index is kept apart from that of the system.
    type: list
    elements: str
    default: []
  settings:
    description:
      - Paths of files of settings (YAML with named fields) that a later step reads. One that cannot be read is an error. One that
        does not exist is none.
    type: list
    elements: path
    default: []
  settings_python:
    description: The Python on the node that reads YAML, where this one does not. C(/usr/bin/python3) when not given.
    type: path
  settings_packages:
    description: Folder of packages that it has besides its own.
    type: path
  wait_s:
    description: Seconds to wait for a change that is under way on the node, whose controller may have died. Then it is an error.
    type: float
    default: 60.0
author:
  - Nodewise maintainers (@nodewise)
attributes:
  check_mode:
    description: Changes nothing anyway.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Look at the node
  nodewise.cluster.node_info:
    root: /opt/nodewise/etcd
    unit: etcd
    data_dir: /var/lib/etcd
    certificates: [/etc/nodewise/etcd/node.crt]
    reread: [cert-file, key-file]
"""

RETURN = r"""
root:
  description: The folder that was asked for.
  returned: success
  type: str
state:
  description: What M(nodewise.cluster.lease) keeps on the node for whoever comes next (fence, lease, upgrade); empty without.
  returned: success
  type: dict
restart:
  description: What a restart of the unit would use. Null without a unit.
  returned: success
  type: dict
  contains:
    differences:
      description:
        - A dict for each thing that the running process has and that a restart would not bring up like this. C(what) it is, what
          it is now (C(runs)), what it would be (C(restart)), what to C(do), and a C(hash) of these. Secrets are not shown.
        - Of arguments, variables and programs the values are compared. A file that is read at the start and was written after it
          is a difference, and so is what cannot be read. Empty when nothing runs.
      type: list
      elements: dict
    link: {description: The link that ExecStart has to go through., type: str}
    exec_start: {description: 'The line that goes through the link, when ExecStart does not; else empty.', type: str}
    limit: {description: 'The setting that ends a start soonest, and its seconds; null when nothing does.', type: dict}
  sample:
    differences:
      - what: its arguments differ
        runs: --quota-backend-bytes 2147483648
        restart: --quota-backend-bytes 16777216
        do: restart the member yourself first, or put its ExecStart back
        hash: 5ad10c3f
    link: /opt/nodewise/etcd/current
    exec_start: ""
    limit: {setting: TimeoutStartSec, seconds: 90.0}
machine:
  description: Architecture, as the kernel names it.
  returned: success
  type: str
  sample: x86_64
boot_id:
  description: The kernel's id of this boot.
  returned: success
  type: str
boot:
  description: What tells this start of the machine from any other, also of a container, whose kernel goes on.
  returned: success
  type: str
clock:
  description:
    - The node's clock, in nanoseconds since the epoch. The fact C(nodewise_node) has C(ahead_s), too, by how many seconds it is
      ahead of the controller's.
  returned: success
  type: int
staged:
  description: Versions that are staged. Whether they are whole is looked at when one is used.
  returned: success
  type: list
  elements: str
linked:
  description: Version that the link leads to, or null.
  returned: success
  type: str
free_bytes:
  description: Bytes that are free where the releases lie.
  returned: success
  type: int
unit:
  description: State of the unit; its pid, exe and started_at are null when it does not run.
  returned: success
  type: dict
  contains:
    load: {description: LoadState of systemd., type: str}
    active: {description: ActiveState of systemd., type: str}
    sub: {description: SubState of systemd., type: str}
    pid: {description: The main process., type: int}
    exe: {description: The file that the main process runs., type: str}
    started_at: {description: 'When it began (UTC, ISO 8601 with milliseconds).', type: str}
    restarts: {description: How often systemd restarted it by itself., type: int}
    needs_reload: {description: Whether the unit file changed since systemd read it., type: bool}
data:
  description: Bytes of the data folder on disk, and bytes that are free there.
  returned: success
  type: dict
  contains:
    bytes: {description: Bytes of its files on disk., type: int}
    free_bytes: {description: Bytes that are free there., type: int}
    room: {description: Whether an upgrade needs as much again., type: bool}
certificates:
  description: For each path the end of the certificate, as C(not_after) and as C(seconds_left) by the node's clock.
  returned: success
  type: dict
components:
  description: For each of O(components) which version its link leads to, and which are staged.
  returned: success
  type: dict
  sample: {patroni: {linked: 4.0.11, staged: [3.3.11, 4.0.11]}}
python:
  description: Version of the node's own Python, which runs what comes as wheels.
  returned: success
  type: str
  sample: "3.11"
libc:
  description: Version of the glibc that it runs on; empty for another C library.
  returned: success
  type: str
  sample: "2.36"
packages:
  description: What the node's package manager says of O(packages). Null when none were asked for.
  returned: success
  type: dict
  contains:
    manager: {description: Which one it is., type: str, sample: apt}
    offered:
      description: For each name the versions that it offers (version, upstream, url, sha256, size), the highest first.
      type: dict
    installed: {description: Version of each that is installed., type: dict}
    held: {description: Those that are held at their version., type: list, elements: str}
    locks: {description: 'For each of the manager''s locks that another process holds, which one (name and pid).', type: dict}
restarters:
  description: Programs at work that restart services on their own, such as needrestart and unattended-upgrade.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Its name., type: str, sample: needrestart}
    pid: {description: Number of its process., type: int}
settings:
  description: Whether each of O(settings) is there. Null for one that cannot be read.
  returned: success
  type: dict
errors:
  description: One line for each thing that could not be read.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.lock import path_of, wait_until_free
from ansible_collections.nodewise.cluster.plugins.module_utils.node.info import Node

SPEC = {
    "root": {"type": "path", "required": True},
    "link": {"type": "path"},
    "unit": {"type": "str"},
    "data_dir": {"type": "path"},
    "data_room": {"type": "bool", "default": True},
    "certificates": {"type": "list", "elements": "path", "default": []},
    "config": {"type": "list", "elements": "path", "default": []},
    "reread": {"type": "list", "elements": "str", "default": []},
    "through": {"type": "path"},
    "begins": {"type": "str"},
    "components": {"type": "dict", "default": {}},
    "packages": {"type": "list", "elements": "str", "default": []},
    "settings": {"type": "list", "elements": "path", "default": []},
    "settings_python": {"type": "path"},
    "settings_packages": {"type": "path"},
    "wait_s": {"type": "float", "default": 60.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    given = module.params
    busy = wait_until_free(path_of(given["root"]), given["wait_s"])
    info = Node().info(given["root"], given)
    info["errors"] += [busy] if busy else []
    module.exit_json(changed=False, **info)


if __name__ == "__main__":
    main()
