#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/keep.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: keep
short_description: Keep what a node says in the record of the run
version_added: 0.1.0
description:
  - Writes a text to V(collected/<host>.txt) in the run's folder.
options:
  text:
    description: Logs and state of the node.
    type: str
    required: true
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Keep the member's log
  nodewise.cluster.keep:
    text: "{{ etcd_collected.stdout }}"
"""

RETURN = r"""#"""
