#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/cluster_step.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cluster_step
short_description: Take a step of the whole cluster, or take it back
version_added: 0.1.0
description:
  - Sets the fact V(nodewise_step), which is empty where the step's gates hold already, and so nothing is to be done.
  - Ends the run where the step is the point of no return and nobody approved it, and where the step failed.
options:
  step:
    description: The step, as the plan has it.
    type: dict
    required: true
  state:
    description: V(begun) before the step, V(failed) when it failed and before its undo, V(undone) after that.
    type: str
    choices:
      - begun
      - failed
      - undone
    required: true
  why:
    description: What failed, in words.
    type: str
    default: ""
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: See whether the step is to be taken
  nodewise.cluster.cluster_step:
    step: "{{ upgrade_part.step }}"
    state: begun
"""

RETURN = r"""#"""
