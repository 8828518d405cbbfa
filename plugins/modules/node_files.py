#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: node_files
short_description: Write several small files in one task
version_added: 0.1.0
description:
  - Makes folders, then writes files, each by an atomic rename. What is as wanted already is left alone.
  - Contents are not logged, so keys may be among them. Of a file that not everybody may read it is never shown what changes.
  - In a run of the kind V(configure) the action plugin of this name says what would change as the fact V(nodewise_files), in check
    mode, and has what is replaced kept on the node.
options:
  directories:
    description: Folders, made in this order with the folders above them.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The folder.
        type: path
        required: true
      mode:
        description: Its mode, as octal digits in quotes.
        type: str
      owner:
        description: Name of its user.
        type: str
      group:
        description: Name of its group.
        type: str
  files:
    description:
      - "Files by their paths: C({path: {content, mode, owner, group}}), of which content (all of its text) is required."
      - A new file has mode C('0644') and is root's when nothing else is said; one that is there keeps what is not said.
      - Folders that are missing above it are made with mode C('0755').
    type: dict
    default: {}
  state:
    description: V(former) puts back what was there before the change of settings that is under way.
    type: str
    choices: [written, former]
    default: written
  keep:
    description: Whether to keep what is replaced, below O(root), so that V(former) can put it back.
    type: bool
    default: false
  timeout_s:
    description: Seconds to wait for another change of the node.
    type: float
    default: 30.0
extends_documentation_fragment:
  - nodewise.cluster.change
author:
  - Nodewise maintainers (@nodewise)
attributes:
  check_mode:
    description: Returns the paths that would be changed. An owner that is not there yet is taken for one to come.
    support: full
  diff_mode:
    description: Contents may be secret.
    support: none
"""

EXAMPLES = r"""
- name: Write unit and key
  nodewise.cluster.node_files:
    directories:
      - {path: /etc/nodewise/etcd, mode: "0750", owner: root, group: etcd}
    files:
      /etc/systemd/system/etcd.service: {content: "{{ lookup('ansible.builtin.template', 'etcd.service.j2') }}", mode: "0644"}
      /etc/nodewise/etcd/node.key: {content: "{{ etcd_key }}", mode: "0640", group: etcd}
"""

RETURN = r"""
paths:
  description: Paths that were changed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/etcd.service]
shows:
  description: What becomes different, a line each, without secrets.
  returned: in check mode
  type: list
  elements: str
  sample: ["/etc/nodewise/etcd/etcd.yml: +quota-backend-bytes: 4294967296"]
wanted:
  description: What tells these files from any others, on this node alone.
  returned: in check mode
  type: str
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import write_all
from ansible_collections.nodewise.cluster.plugins.module_utils.node import former, state
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing

FOLDER = {
    "path": {"type": "path", "required": True},
    "mode": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}
SPEC = {
    "directories": {"type": "list", "elements": "dict", "default": [], "options": FOLDER},
    "files": {"type": "dict", "default": {}, "no_log": True},
    "state": {"type": "str", "choices": ["written", "former"], "default": "written"},
    "keep": {"type": "bool", "default": False},
    "timeout_s": {"type": "float", "default": 30.0},
}


def perform(given: dict[str, Any], dry: bool) -> dict[str, Any]:
    """Write, or put back; in check mode say what writing would change."""
    root, files = given["root"], given["files"]
    of = str((state.read(root).get("upgrade") or {}).get("begun_at")) if root else ""
    if given["state"] == "former":
        paths = [] if dry else former.put_back(root, of)
        return {"changed": bool(paths), "paths": paths}
    if not dry and not given["keep"]:
        paths = write_all(given["directories"], files)
        return {"changed": bool(paths), "paths": paths}
    paths = write_all(given["directories"], files, check=True)
    if dry:
        shows = [line for path in paths for line in former.shown(path, files.get(path))]
        return {"changed": bool(paths), "paths": paths, "shows": shows, "wanted": former.digest(files)}
    former.keep(root, of, paths)
    write_all(given["directories"], files)
    return {"changed": bool(paths), "paths": paths}


def main() -> None:
    module = AnsibleModule(argument_spec={**CHANGING, **SPEC}, supports_check_mode=True)
    files = module.params["files"]
    # no_log keeps the files out of the node's log; of what is returned, it would mask modes and owners in every path as well.
    contents = [given for given in files.values() if isinstance(given, dict) and given.get("content")]
    shown = [given for given in contents if module.check_mode and not former.hides(given)]
    module.no_log_values = {given["content"] for given in contents if given not in shown}
    changing(module, partial(perform, module.params), "configure")


if __name__ == "__main__":
    main()
