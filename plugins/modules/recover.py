#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/recover.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: recover
short_description: Bring a member back before anything else is touched
version_added: 0.1.0
description:
  - Writes the intent and the result to the journal, and asks the gates that must hold before anything begins.
  - Sets the fact V(nodewise_step), whose C(version) and C(release) the verb C(recover) of a system's role reads.
  - Ends the run as paused when the member did not come back.
options:
  state:
    description: V(judged) is asked once for the cluster; the others are of the current host.
    type: str
    choices:
      - begun
      - ended
      - failed
      - judged
    required: true
  release:
    description: The release to bring it back with.
    type: dict
    default: {}
  node:
    description: The member that is judged.
    type: str
    default: ''
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
- name: Begin to recover this member
  nodewise.cluster.recover:
    state: begun
    release: "{{ upgrade_part.release }}"
"""

RETURN = r"""#"""
