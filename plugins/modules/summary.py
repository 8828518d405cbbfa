#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/summary.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: summary
short_description: Say how a run ended
version_added: 0.1.0
description:
  - Writes V(summary.json) and V(junit.xml) and prints the last lines. The task fails unless the outcome is good.
options:
  state:
    description:
      - V(decided) decides the outcome and sets the fact V(nodewise_collect); V(told) writes and prints the summary.
      - What was refused before a node was held is told by V(decided) already.
    type: str
    choices: [decided, told]
    default: told
  pause_is_ok:
    description: Whether a run that is paused for an approval, or for the change window, is no failure of the task.
    type: bool
    default: false
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Say how a run ended
  nodewise.cluster.summary:
    state: told
"""

RETURN = r"""#"""
