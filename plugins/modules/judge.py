#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/judge.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: judge
short_description: Ask the gates of a step
version_added: 0.1.0
description:
  - Each gate must be exactly true for the last observation; the task fails with a line for each that is not, and ends the
    step otherwise.
options:
  name:
    description: Of the step.
    type: str
    required: true
  gates:
    description: Names of the gates.
    type: list
    elements: str
    required: true
  version:
    description: What nodes must run; the version of the current hop when it is not said.
    type: str
    default: ''
  node:
    description: Whether the step is that of the current host; otherwise it is the cluster's.
    type: bool
    default: false
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Ask the gates of a step
  nodewise.cluster.judge:
    name: switch
    gates:
      - members_serving
      - fingerprints_equal
    node: true
"""

RETURN = r"""#"""
