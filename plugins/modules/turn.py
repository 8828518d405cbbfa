#!/usr/bin/python
# Copyright: Nodewise contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/turn.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: turn
short_description: Resolve whose turn it is
version_added: 0.1.0
description:
  - Chooses the nodes that are changed next from the cluster as it is at that moment, the leader last, and says who takes
    leadership over. Sets the fact V(nodewise_turn).
  - A turn after the change window, or past a point of no return that nobody approved, is not begun; the run ends as held.
  - Ends the run as held when no member may be stopped, or when a node was lost in the middle of its turn.
options:
  state:
    description: Whether the turn begins or ends.
    type: str
    choices:
      - begun
      - ended
    required: true
  index:
    description: Number of the turn, from 1.
    type: int
    default: 0
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Resolve whose turn it is
  nodewise.cluster.turn:
    state: begun
    index: 1
"""

RETURN = r"""#"""
