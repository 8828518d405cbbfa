#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/smoke_suites.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: smoke_suites
short_description: Plan and judge suites of scripts
version_added: 0.1.0
description:
  - With V(planned), makes a session of each suite in the run's record, so that the number of results is known before anything runs.
    In check mode it says what would be run, and leaves no session to run.
  - With V(judged), holds what was reported against that, and asks the gates. What did not report has failed.
  - With V(told), decides how a run that does nothing else ended, and writes its summary and junit.xml.
  - Sets the fact V(nodewise_smoke) (sessions, ok, reason, blamed). The task fails with V(told) alone.
options:
  state:
    description: What to do.
    type: str
    choices: [planned, judged, told]
    required: true
  suites:
    description: Names of suites, or paths of their folders. None are those of one's own and the one that comes with the system.
    type: list
    elements: str
    default: []
  folders:
    description: Folders on the controller that hold suites, besides C(suites/) beside the inventory and in the working directory.
    type: list
    elements: str
    default: []
  tier:
    description: Scripts of this tier, and of those before it, are run.
    type: str
    choices: [core, basic, full, stress]
    default: core
  skip_slow:
    description: Whether slow scripts are left out.
    type: bool
    default: false
  hosts:
    description: Members to run on.
    type: list
    elements: str
    default: []
  parallel:
    description: Whether scripts may run at once on a host, where their suite allows it.
    type: bool
    default: false
  workers:
    description: How many of them.
    type: int
    default: 4
  pins:
    description: Digests of suites, or their beginnings, by the suites' names.
    type: dict
    default: {}
  about:
    description: Why they are run, in a word or two.
    type: str
    default: ''
  required:
    description: Whether it is an error that there is nothing to run.
    type: bool
    default: true
  known:
    description: Whether the versions that run are as known as they will be, for suites that run on one host of each.
    type: bool
    default: true
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Plan the suites of a run
  nodewise.cluster.smoke_suites:
    state: planned
    suites: [etcd]
    hosts: '{{ nodewise_run.members }}'
"""

RETURN = r"""#"""
