#!/usr/bin/python
# Copyright: Nodewise contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

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
    description: Files. Their folders must be there, or be among C(directories).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      content:
        description: All of its text.
        type: str
        required: true
      mode:
        description: Its mode, as octal digits in quotes. C('0644') for a new file when not given.
        type: str
      owner:
        description: Name of its user.
        type: str
      group:
        description: Name of its group.
        type: str
author:
  - Nodewise maintainers (@nodewise)
attributes:
  check_mode:
    description: Returns the paths that would be changed.
    support: full
  diff_mode:
    description: Contents may be secret.
    support: none
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
"""

EXAMPLES = r"""
- name: Write unit and key
  nodewise.cluster.node_files:
    directories:
      - {path: /etc/nodewise/etcd, mode: "0750", owner: root, group: etcd}
    files:
      - {path: /etc/systemd/system/etcd.service, content: "{{ lookup('template', 'etcd.service.j2') }}", mode: "0644"}
      - {path: /etc/nodewise/etcd/node.key, content: "{{ etcd_key }}", mode: "0640", owner: root, group: etcd}
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

from ansible_collections.nodewise.cluster.plugins.module_utils.files import FilesError, write_all

ACCESS = {
    "path": {"type": "path", "required": True},
    "mode": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}
SPEC = {
    "directories": {"type": "list", "elements": "dict", "default": [], "options": ACCESS},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**ACCESS, "content": {"type": "str", "required": True, "no_log": True}},
    },
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        paths = write_all(module.params["directories"], module.params["files"], module.check_mode)
    except FilesError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(paths), paths=paths)


if __name__ == "__main__":
    main()
