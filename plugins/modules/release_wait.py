#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_wait
short_description: Wait for other package managers on a node
version_added: 0.1.0
description:
  - Waits until the locks of the node's package manager are free. Nothing is changed, and no lock is kept.
  - In a play, the action of the same name writes it to the record of the run, as the step C(wait) of the node, and pauses the run
    where they are still held in the end, before anything of the node was changed.
options:
  wait_s:
    description: Seconds to wait. With 0 it is only looked.
    type: float
    required: true
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
- name: Wait for other package managers
  nodewise.cluster.release_wait: {wait_s: 900}
"""

RETURN = r"""
held:
  description: For each lock that is still held, who holds it.
  returned: success
  type: dict
  sample: {/var/lib/dpkg/lock-frontend: "unattended-upgr (pid 4711)"}
seconds:
  description: How long it took.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.release.manager import PackageError
from ansible_collections.nodewise.cluster.plugins.module_utils.release.managers import of_host


def main() -> None:
    module = AnsibleModule(argument_spec={"wait_s": {"type": "float", "required": True}}, supports_check_mode=True)
    try:
        held, seconds = of_host().wait(module.params["wait_s"])
    except PackageError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, held=held, seconds=seconds)


if __name__ == "__main__":
    main()
