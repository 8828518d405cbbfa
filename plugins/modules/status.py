#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/status.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: status
short_description: Say what was observed
version_added: 0.1.0
description:
  - Prints the last observation. The task fails when a gate that must hold before an upgrade does not.
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Say what was observed
  nodewise.cluster.status: {}
"""

RETURN = r"""#"""
