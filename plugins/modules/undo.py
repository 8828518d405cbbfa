#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/undo.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: undo
short_description: Decide whether a failed step may be taken back
version_added: 0.1.0
description:
  - Decides from the last observation, and sets the fact V(nodewise_step) to what takes the node back to its old version.
    Past the point of no return the run ends for a human instead.
  - In the end, judges whether the node is back and the cluster healthy.
options:
  state:
    description: Whether the undo begins or ends.
    type: str
    choices:
      - begun
      - ended
    required: true
  why:
    description: What went wrong in it.
    type: str
    default: ''
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Decide whether a failed step may be taken back
  nodewise.cluster.undo:
    state: begun
"""

RETURN = r"""#"""
