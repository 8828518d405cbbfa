#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/observe.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: observe
short_description: Observe a cluster through its system's info module
version_added: 0.1.0
description:
  - Runs the module on the node, holds its answer against the one shape of an observation, and writes it to the run's journal.
  - Sets the facts V(nodewise_observation) and V(nodewise_missing). What could not be asked is an observation too, in which
    nobody was seen; the task itself does not fail for it, unless O(changes) is true.
  - The module takes V(settled) and V(deadline) beside its own arguments, and returns V(observation) and V(missing).
options:
  module:
    description: The info module, by its fully qualified name.
    type: str
    required: true
  args:
    description: Its arguments.
    type: dict
    default: {}
  settled:
    description: What to wait for, see docs/systems.md. What the current step waits for when not given.
    type: dict
  deadline:
    description: Seconds to wait for it. Those of the current step when not given.
    type: float
  changes:
    description:
      - Whether the module changes something before it looks, as that of a step which V(observes) does. It may be run twice, since a
        connection that is cut is tried again; when it fails, so does the task.
    type: bool
    default: false
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Observe a cluster through its system's info module
  nodewise.cluster.observe:
    module: nodewise.cluster.etcd_info
    args:
      members: '{{ etcd_members }}'
"""

RETURN = r"""#"""
