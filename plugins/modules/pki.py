#!/usr/bin/python
# SPDX-FileCopyrightText: Nodewise contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

# Runs on the controller alone: plugins/action/pki.py, which checks its arguments against the options stated here.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pki
short_description: Have the certificate of a host
version_added: 0.1.0
description:
  - Returns certificate, key and authority as PEM, from the cluster's own certificate authority on the controller. What
    is missing or near its end is made anew.
  - With O(state=absent) removes what the cluster has there, by name. Nothing of another cluster in the same folder is touched, nor
    an authority that another one made, or whose certificates others still have.
options:
  state:
    description: Whether it is there.
    type: str
    choices: [present, absent]
    default: present
  folder:
    description: The authority's folder, on the controller.
    type: path
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  names:
    description: Host names and addresses that the certificate is good for.
    type: list
    elements: str
    default: []
  nodes:
    description: The hosts of the cluster, whose certificates are removed.
    type: list
    elements: str
    default: []
  passwords:
    description: Files in C(passwords/) of the folder that the cluster has there, and that go with its authority.
    type: list
    elements: str
    default: []
  days:
    description: How long a new certificate is good for.
    type: int
    default: 365
  renew_days:
    description: One with fewer days left is made anew.
    type: int
    default: 30
author:
  - Nodewise maintainers (@nodewise)
extends_documentation_fragment:
  - nodewise.cluster.controller
"""

EXAMPLES = r"""
- name: Have the certificate of a host
  nodewise.cluster.pki:
    folder: /srv/pki/prod
    cluster: prod
    names:
      - 10.0.0.1
"""

RETURN = r"""#"""
