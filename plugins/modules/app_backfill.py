#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_backfill
short_description: Fill rows of a table by chunks, as a unit of this node
version_added: 0.2.0
description:
  - Begins the unit unless it is active or all is done, and waits for it. It outlives the wait, and the controller.
  - A chunk, and how far the backfill came, are one transaction.
  - With O(ask) or O(rate) it asks one that was begun, on whichever node it runs, and waits until it was seen to obey.
options:
  ask:
    description:
      - V(begin) begins it, V(look) only says how far it came, V(pause) and V(resume) it, or V(cancel) it, which ends its unit and
        leaves the rows that are filled. V(resume) also begins one again, where it was, that was cancelled or that runs nowhere.
    type: str
    choices: [begin, look, pause, resume, cancel]
    default: begin
  rate:
    description: Rows a second that are looked at, at most, from now on.
    type: float
  schema:
    description: The database, and how its schema is changed, as the filter P(nodewise.cluster.app_schema#filter) returns it.
    type: dict
    required: true
  deadline:
    description: Seconds to wait for others that change this node.
    type: float
    default: 60.0
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.change
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    description: Begins nothing, and says whether it would.
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
- name: Fill the rows that are there
  nodewise.cluster.app_backfill:
    schema: "{{ app_schema }}"
- name: Have it wait
  nodewise.cluster.app_backfill:
    schema: "{{ app_schema }}"
    ask: pause
"""

RETURN = r"""
backfill:
  description:
    - How far it came (C(rows), C(scanned), C(chunks), C(total), C(rate), C(left), C(done)), what it was asked for and what it does
      (C(asked), C(state), C(running), C(most)), or null before it began.
  returned: success
  type: dict
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodewise.cluster.plugins.module_utils.app.info import secret
from ansible_collections.nodewise.cluster.plugins.module_utils.app.schema.backfill import ASKED, control, perform, wait
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import OPTIONS as CHANGING
from ansible_collections.nodewise.cluster.plugins.module_utils.node.changing import changing

SPEC = {
    "schema": {"type": "dict", "required": True, "no_log": True},
    "ask": {"default": "begin", "choices": ["begin", "look", *ASKED]},
    "rate": {"type": "float"},
    "deadline": {"type": "float", "default": 60.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**CHANGING, **SPEC}, supports_check_mode=True)
    module.no_log_values = secret(module.params)
    if module.params["ask"] == "begin" and module.params["rate"] is None:
        changing(module, partial(perform, module.params), "backfill", after=None if module.check_mode else wait)
    else:
        changing(module, partial(control, module.params), "backfill")


if __name__ == "__main__":
    main()
