#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/resolve.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: resolve
short_description: Resolve a version to a release
version_added: 0.1.0
description:
  - Finds URL and checksum of each artifact of the version and sets the fact V(nodewise_release); and V(nodewise_components), the
    releases by name of the parts that the system has, each at V(nodewise_<name>_version), else at the role's default.
  - 'Refuses a cluster that has another version already: that is what an upgrade is for.'
options:
  version:
    description:
      - The version to provision, or the beginning of one, such as V(15) for the newest that every node is offered, or the one that
        is there. The role's default when empty.
    type: str
    default: ''
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
- name: Resolve a version to a release
  nodewise.cluster.resolve:
    version: 3.5.16
"""

RETURN = r"""#"""
