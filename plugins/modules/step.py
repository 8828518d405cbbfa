#!/usr/bin/python
# Copyright: Nodewise contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

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
    description: 'What to write. V(everywhere) ends a phase: every member must have reported success, and one that is silent
      has failed.'
    type: str
    choices:
      - begun
      - done
      - failed
      - everywhere
    required: true
  node:
    description: Whether the step is that of the host in hand; otherwise it is the cluster's.
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
