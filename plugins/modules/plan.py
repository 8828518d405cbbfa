#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/plan.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan
short_description: Resolve the plan of an upgrade
version_added: 0.1.0
description:
  - Judges what was observed and resolves hops, release, order, steps and gates, before anything changes. The plan is printed
    and kept as V(plan.yaml) in the run's folder.
  - Ends the run as refused with every reason, as unchanged when there is nothing to do, and as planned in check mode.
  - Sets the facts V(nodewise_release) (of the last hop), V(nodewise_leaders) and
    V(nodewise_parts), which are the files of the role upgrade that carry it out.
options:
  to:
    description: The target version of an upgrade; a rollback finds its own.
    type: str
    default: ''
  upgrade_path:
    description: Versions to stop at on the way, instead of those that the system's rules name.
    type: list
    elements: str
  plan:
    description: The hash of the plan that was approved. Any other plan is refused, with what drifted.
    type: str
    default: ''
  patch:
    description: A command that is run on each node before its reboot.
    type: str
    default: ''
  recover:
    description: Members that may be down, and are brought back first.
    type: list
    elements: str
    default: []
  probe:
    description: The operator's own probe command, if there is one.
    type: str
    default: ''
  suites:
    description: Smoke suites that are run on each node after its change (tier core), and on all of them at the end (tier basic).
    type: list
    elements: str
    default: []
  mixed_version_check:
    description: Whether old and new members are shown to read each other's writes, in each batch; by default on test hosts.
    type: bool
  deep_check:
    description: Whether the data of every member is verified in depth at the end of each hop. Refused where the system cannot.
    type: bool
    default: false
  max_unavailable:
    description:
      - How many members may be changed at once, a number or a share such as V(25%), where they do not need one another.
    type: str
    default: "1"
  soak:
    description: Seconds to watch after the first node.
    type: float
    default: 0.0
  waive:
    description:
      - What may pass in this run, each with the reason, which is recorded with who gave it. A name is that of a gate, of a refusal
        (V(quorum_at_risk), V(cannot_go_back), V(window_closed), V(rehearsed)), or the hash of a difference between what a node's
        process runs with and what a restart would use. Gates about data, or about what runs, cannot be waived, nor can an unknown
        answer.
    type: dict
    default: {}
  require_rehearsal:
    description:
      - How old a valid rehearsal of the same release may be, such as V(7d); without one the run is refused. In check mode, whose
        record is what is rehearsed, the plan says so as a gap.
    type: str
    default: ''
  rehearsals:
    description: Where records of rehearsals are, a folder or a URL; by default V(rehearsals) beside the records of runs.
    type: str
    default: ''
  rehearsal_keys:
    description: Public keys of those whose rehearsals count; by default the controller's own.
    type: list
    elements: str
    default: []
  deadline:
    description: Seconds that a node may take to settle after a change.
    type: float
    default: 120.0
  gates:
    description: More gates, by name, each with V(that), V(fail_msg) and V(shows).
    type: dict
    default: {}
  releases:
    description: Releases of one's own, by version, each with V(artifacts) and V(binaries).
    type: dict
    default: {}
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Resolve the plan of an upgrade
  nodewise.cluster.plan:
    to: 3.5.16
"""

RETURN = r"""#"""
