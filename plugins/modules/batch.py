#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/batch.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: batch
short_description: Resolve the next batch
version_added: 0.1.0
description:
  - Chooses the nodes that are changed next from the cluster as it is at that moment, the leader last, and says who takes
    leadership over. Sets the fact V(nodewise_batch), with what each member does in it (C(todo)).
  - A batch after the change window, or past a point of no return that nobody approved, is not begun; the run ends as paused.
  - Ends the run as paused when no member may be stopped, or when a node was lost in the middle of its batch.
options:
  state:
    description:
      - With V(begun) the batch begins, once every node of the one before it has ended its steps. With V(waited) the run goes on
        unless a node of the batch is not free yet.
      - Where the last look at the cluster is too old for V(begun), or the lease is to be renewed, the batch is resolved by
        V(looked), once that was done.
      - V(further) sets the fact V(nodewise_further), which has an element for each member that is left.
    type: str
    choices:
      - begun
      - looked
      - waited
      - further
    required: true
  fresh:
    description: Seconds that the last look at the cluster is good for.
    type: float
    default: 0
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Resolve the next batch
  nodewise.cluster.batch:
    state: begun
"""

RETURN = r"""#"""
