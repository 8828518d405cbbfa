#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/begin.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: begin
short_description: Choose the cluster that a play is about
version_added: 0.1.0
description:
  - Finds the groups of the inventory that say which system they are (V(nodewise_system)) and takes the one that is named,
    or the only one. Nothing is guessed.
  - Sets the fact V(nodewise_run) (cluster, system, role, members, kind, id; with O(record) also dir), and V(nodewise_halted).
  - With O(record) a folder for the run's record is made, in V(NODEWISE_RUN_DIR) or below V(runs/), and what is wrong ends
    the run as refused. Without it, what is wrong fails the task.
  - A limit that leaves members of the cluster out is refused.
options:
  kind:
    description: What the play does, such as V(upgrade).
    type: str
    required: true
  record:
    description: Whether the run is recorded.
    type: bool
    default: false
  cluster:
    description: Name of the cluster's group, where the inventory has several.
    type: str
    default: ''
  component:
    description: The part of the system that is upgraded on its own, such as V(patroni) of PostgreSQL. Empty for the system itself.
    type: str
    default: ''
  to:
    description: The target version of an upgrade.
    type: str
    default: ''
  window_start:
    description: When the change window opens, as V(22:00) or ISO 8601. Before it nothing is begun; check mode is allowed.
    type: str
    default: ''
  window_end:
    description: When the change window closes, as V(04:00) or ISO 8601. No node is begun after it.
    type: str
    default: ''
  approve:
    description: The hash of a plan, or V(any), to go past its points of no return without being asked.
    type: str
    default: ''
  allow_any:
    description: Whether V(any) is an approval. Where it is not, it is refused.
    type: bool
    default: true
  approvers:
    description: How many users it takes to go past a point of no return, V(1) or V(2). With V(2) whoever began cannot approve.
    type: int
    default: 1
  change:
    description: The number of a ticket or change request, which is kept with the run.
    type: str
    default: ''
  soak:
    description: Seconds that the canary is watched for; a sample from before the first change is what it is judged by.
    type: float
    default: 0
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Choose the cluster that a play is about
  nodewise.cluster.begin:
    kind: upgrade
    record: true
    to: 3.5.16
"""

RETURN = r"""#"""
