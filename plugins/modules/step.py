#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/step.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: step
short_description: Write a step's intent or result to the journal
version_added: 0.1.0
description:
  - The intent is on disk before the change, the result after it.
  - Sets the fact V(nodewise_step), which the tasks of a step read.
options:
  name:
    description: Of the step.
    type: str
    required: true
  state:
    description:
      - What to write. V(phase_begun) and V(phase_done) begin and end a phase for the cluster and for each of its members.
      - V(planned) ends a run that only plans.
      - A member that reported a failure, or that is no longer in the play, makes V(phase_done) end the run as refused.
    type: str
    choices:
      - begun
      - failed
      - phase_begun
      - phase_done
      - planned
    required: true
  node:
    description: Whether the step is that of the current host; otherwise it is the cluster's.
    type: bool
    default: false
  step:
    description: The step as the plan has it, when its tasks need to know.
    type: dict
    default: {}
  why:
    description: What went wrong.
    type: str
    default: ''
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Write a step's intent or result to the journal
  nodewise.cluster.step:
    name: stage
    state: begun
"""

RETURN = r"""#"""
