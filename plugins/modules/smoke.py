#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller: plugins/action/smoke.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: smoke
short_description: Run one suite of scripts on one host
version_added: 0.1.0
description:
  - Packs the suite, has M(nodewise.cluster.smoke_scripts) run its scripts on the host, and reads what they said, which may be
    TAP, JUnit XML, JSON lines or nothing but an exit code (0 passed, 77 skipped, anything else failed).
  - Each script has a result, whatever becomes of it or of the host. What did not report has failed.
  - With O(session), as the role P(nodewise.cluster.smoke#role) calls it, results go into the run's record, and the task does not
    fail. Without it they are returned, and the task fails unless all passed or were skipped, and some passed.
options:
  session:
    description: A session that M(nodewise.cluster.smoke_suites) planned; it says all the rest.
    type: str
    default: ''
  suite:
    description: The name of a suite, or the path of its folder, which has a V(/).
    type: str
    default: ''
  folders:
    description: Folders on the controller that hold suites.
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
  parallel:
    description: Whether scripts may run at once, where the suite allows it.
    type: bool
    default: false
  workers:
    description: How many of them.
    type: int
    default: 4
author:
  - Nodewise maintainers (@nodewise)
attributes:
  check_mode:
    description: Nothing is run.
    support: none
  diff_mode:
    description: Shows no diff.
    support: none
"""

EXAMPLES = r"""
- name: Run my scripts on this host
  nodewise.cluster.smoke:
    suite: ./suites/payments
    tier: basic
  register: smoked
"""

RETURN = r"""
expected: {description: How many results there must be., returned: success, type: int}
passed: {description: Scripts that passed., returned: success, type: int}
failed_scripts: {description: Scripts that failed or did not report., returned: success, type: int}
skipped_scripts: {description: Scripts that were skipped., returned: success, type: int}
flaky: {description: Those that passed after they had failed., returned: success, type: int}
results:
  description: A result for each script.
  returned: without O(session)
  type: list
  elements: dict
  contains:
    script: {description: Its name., type: str}
    host: {description: Where it ran., type: str}
    status: {description: 'V(pass), V(fail) or V(skip).', type: str}
    reason: {description: Why; empty when it passed., type: str}
    seconds: {description: How long all attempts took., type: float}
    attempts: {description: 'How many; 0 when nothing was heard of it.', type: int}
    flaky: {description: Whether it passed after it had failed., type: bool}
    timeout: {description: Whether it took longer than it may., type: bool}
    reported: {description: Whether anything was heard of it., type: bool}
    notes: {description: 'What is worth telling besides, such as processes that it left running.', type: list, elements: str}
    cases:
      description: Its cases, where it speaks a protocol.
      type: list
      elements: dict
      contains:
        name: {description: Its name., type: str}
        status: {description: 'V(pass), V(fail) or V(skip).', type: str}
        reason: {description: Why., type: str}
        seconds: {description: How long it took., type: float}
    lines: {description: The last lines of its output when it failed., type: list, elements: str}
    files: {description: 'What is kept of it, with O(session).', type: list, elements: str}
"""
