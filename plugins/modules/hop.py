#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/hop.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: hop
short_description: Take a cluster through one hop of its way
version_added: 0.1.0
description:
  - Sets the fact V(nodewise_release), the current release, and V(nodewise_hop) (index, finalize, checks, wait, and hold_s,
    the seconds for which a batch needs the cluster).
  - Ends the run when the last hop was made, when one could not be finished, or when nobody approved to go on.
options:
  index:
    description: Number of the hop, from 0.
    type: int
    required: true
  state:
    description:
      - V(staged) only makes its release the current one, and begins to stage it.
      - The others are its begin, its last step, which V(finalizing) begins, and its end.
    type: str
    choices:
      - staged
      - begun
      - finalizing
      - ended
    required: true
  package_wait:
    description: Seconds that another package manager is waited for before a node is changed, where the release has packages.
    type: float
    default: 0
  reboot_deadline:
    description: Seconds that a command before a reboot may take, and that the node may take to come back.
    type: float
    default: 1800
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Begin the first hop
  nodewise.cluster.hop:
    index: 0
    state: begun
"""

RETURN = r"""#"""
