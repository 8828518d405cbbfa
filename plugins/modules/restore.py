#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/restore.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: restore
short_description: Decide on a restore, and say what came of it
version_added: 0.1.0
description:
  - V(decided) holds the backup against the journal of its run, refuses what is in the way, and says what would be lost unless
    O(confirm) is the cluster's name. It sets the facts V(nodewise_restore) and V(nodewise_release).
  - V(judged) fails unless the variable O(result) of every member says that its part is done; V(failed) fails. Both say how to go
    on.
  - V(told) says what was lost, and where the data from before lies.
options:
  state:
    description: What to do.
    type: str
    required: true
    choices: [decided, judged, failed, told]
  backup:
    description: The file on the controller, in the folder V(backup/) of a run.
    type: path
    default: ''
  confirm:
    description: Name of the cluster, to have it restored.
    type: str
    default: ''
  to:
    description: The version to run; the one that the backup was made with when not given.
    type: str
    default: ''
  releases:
    description: Releases of one's own, by version.
    type: dict
    default: {}
  result:
    description: Name of a variable of each member, the result of a task.
    type: str
    default: ''
  left:
    description: How the cluster was left, when a part of it failed.
    type: str
    default: ''
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Decide whether the cluster may be restored
  nodewise.cluster.restore:
    state: decided
    backup: runs/20260101-100000-upgrade-demo/backup/n2.db
    confirm: demo
"""

RETURN = r"""#"""
