#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_switch
short_description: Have a unit run from a staged release
version_added: 0.1.0
description:
  - Stops the unit, replaces the link that its C(ExecStart) goes through in one atomic rename, and starts it.
  - Packages of the release are installed between stop and start, unless they are already, and held at their version. Nothing
    else is started or stopped by that. What was half installed by a run that died is installed anew.
  - A unit that is active and whose main process runs from the release already is not restarted.
  - A release that is not staged, or damaged, is refused before anything is stopped.
  - A unit that does not start makes the module fail with the last lines that its processes wrote to the journal. It is then left
    stopped, so that it does not flap, and the link stays on the new release. Whether to go back is for the caller to decide;
    to go back is to switch to the previous release.
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.switch
  - nodewise.cluster.change
attributes:
  check_mode:
    description: Says whether the unit would be restarted. A version or unit that is not there yet is taken for one to come.
    support: full
  diff_mode:
    description: The version before and after are returned.
    support: none
"""

EXAMPLES = r"""
- name: Switch to the new release
  nodewise.cluster.release_switch:
    unit: etcd
    root: /opt/nodewise/etcd
    version: 3.5.16
    timeout_s: 30
"""

RETURN = r"""
version:
  description: The version that the link leads to now.
  returned: success
  type: str
previous:
  description: The version that it led to before, or null when it led to none.
  returned: success
  type: str
active:
  description: State of the unit, as systemd has it.
  returned: success
  type: str
  sample: active
pid:
  description: Its main process.
  returned: success
  type: int
exe:
  description: The file that the main process runs.
  returned: success
  type: str
  sample: /opt/nodewise/etcd/releases/3.5.16/files/usr/bin/etcd
started_at:
  description: When the main process began (UTC, ISO 8601 with milliseconds).
  returned: success
  type: str
stop_s:
  description: Seconds until the unit had stopped.
  returned: when it was restarted
  type: float
install_s:
  description: Seconds from then until its packages were installed.
  returned: when it was restarted
  type: float
start_s:
  description: Seconds from then until systemd called it started.
  returned: when it was restarted
  type: float
journal:
  description: The last lines, at most 20, that the unit's processes wrote, when it did not start.
  returned: failure
  type: list
  elements: str
seconds:
  description: How long all of it took.
  returned: success
  type: float
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing
from ansible_collections.nodewise.cluster.plugins.module_utils.release.switching import OPTIONS, perform


def main() -> None:
    module = AnsibleModule(argument_spec={**CHANGING, **OPTIONS}, supports_check_mode=True)
    changing(module, partial(perform, module.params), f"release_switch to {module.params['version']}")


if __name__ == "__main__":
    main()
