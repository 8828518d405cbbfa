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
  - Contents are neither logged nor shown as a difference, so keys may be among them.
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
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.host.files import FilesError, write_all

FOLDER = {
    "path": {"type": "path", "required": True},
    "mode": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}
SPEC = {
    "directories": {"type": "list", "elements": "dict", "default": [], "options": FOLDER},
    "files": {"type": "dict", "default": {}, "no_log": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    files = module.params["files"]
    # no_log keeps the files out of the node's log; of what is returned, it would mask modes and owners in every path as well.
    module.no_log_values = {given["content"] for given in files.values() if isinstance(given, dict) and given.get("content")}
    try:
        paths = write_all(module.params["directories"], files, module.check_mode)
    except FilesError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(paths), paths=paths)


if __name__ == "__main__":
    main()
